import { say, settingRef, type Wording } from '@moco-ts/core';
import type { Meter, Meters, RunConfig, RunMethod } from '@moco-ts/run';

/** Of 1/sqrt(dim), the feature std of vectors that fill the sphere. */
const LEAST_SPREAD = 0.05;
/** Of the loss of a guess. */
const NEAR_CHANCE = 1e-3;

/** Warns when an epoch's means say that nothing is being learned. */
export function checkCollapse(
  { mocoDim }: Pick<RunConfig, 'mocoDim'>,
  chance: RunMethod['chance'],
  { loss, featureStd }: Pick<Meters, 'loss'> & { readonly featureStd?: Meter | undefined },
  warn: (text: Wording) => void,
): void {
  const share = featureStd && featureStd.average * Math.sqrt(mocoDim);
  if (share !== undefined && share < LEAST_SPREAD)
    warn(
      say`the queries have collapsed: their feature std is ${(100 * share).toFixed(1)} % of what it could be; lower ${settingRef('lr')}, or check that the images differ`,
    );
  if (chance && Math.abs(loss.average / chance.loss - 1) < NEAR_CHANCE)
    warn(
      `the loss stays at ${chance.formula} = ${chance.loss.toFixed(3)}, that of guessing: nothing is being learned`,
    );
}
