/** What a diverged network gives or holds is neither shown nor saved. */
import { allFinite, DivergedError, type Tensor } from '@moco-ts/core';

/** @throws DivergedError for features that are not finite */
export function finiteFeatures<T extends Float32Array>(features: T): T {
  if (!allFinite(features)) throw diverged('The features are not finite');
  return features;
}

/** @throws DivergedError for a state that is not finite */
export function finiteState<T extends Readonly<Record<string, Tensor>>>(state: T): T {
  if (!Object.values(state).every(({ data }) => allFinite(data)))
    throw diverged('The weights are not finite');
  return state;
}

export const diverged = (fault: string): DivergedError =>
  new DivergedError(`${fault}: start again with a lower learning rate.`, { setting: 'lr' });
