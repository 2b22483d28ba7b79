/** What a diverged network gives or holds is neither shown nor saved. */
import { allFinite, DivergedError, type Tensor } from '@moco-ts/core';

/** @throws DivergedError for features that are not finite */
export function finiteFeatures<T extends Float32Array>(features: T): T {
  if (!allFinite(features)) throw diverged('The features');
  return features;
}

/** @throws DivergedError for a state that is not finite */
export function finiteState<T extends Readonly<Record<string, Tensor>>>(state: T): T {
  if (!Object.values(state).every(({ data }) => allFinite(data))) throw diverged('The weights');
  return state;
}

const diverged = (what: string) =>
  new DivergedError(`${what} are not finite: start again with a lower learning rate.`, { setting: 'lr' });
