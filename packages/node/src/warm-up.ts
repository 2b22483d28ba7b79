/** The rise of the loss at the start of a run whose dictionary begins with noise: what a newcomer takes for a failure. */
import type { RunMethod } from '@moco-ts/run';

/** Over the first step's loss; less is the difference of batches. */
const RISE = 1.25;

/** Whether a loss of the warm-up stands so far above the first one that it is worth explaining. */
export const isWarmUpRise = (first: number, loss: number): boolean => loss > RISE * first;

/** Says once, of a run from its first step on, why its loss rises; nothing where it does not. */
export function watchWarmUp(
  warmUp: RunMethod['warmUp'],
  note: (text: string) => void,
): (globalStep: number, loss: number) => void {
  let first: number | undefined;
  let told = false;
  return (globalStep, loss) => {
    if (globalStep === 0) first = loss;
    if (told || !warmUp || first === undefined || globalStep >= warmUp.steps) return;
    if (!isWarmUpRise(first, loss)) return;
    told = true;
    note(
      `The loss rises as it should: the ${warmUp.dictionary} still holds noise, which is easy to tell from a positive, until step ${warmUp.steps}.`,
    );
  };
}
