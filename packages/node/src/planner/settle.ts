/** Chooses the recipe of a run by numbers that others measure: nothing here reads a clock, a file or a device. */
import { BackendError } from '@moco-ts/core';
import {
  type Extent,
  isWorth,
  type Recipe,
  type RunFlags,
  recipeFlags,
  recipeFor,
  scalesFor,
  type TimedScale,
} from '@moco-ts/run';
import type { DataFacts } from './facts.ts';

export interface Settled {
  readonly recipe: Recipe;
  /** With encoder and image size. */
  readonly flags: RunFlags;
  readonly scale: TimedScale;
  /** Why this scale, for people. */
  readonly reason: string;
}

/**
 * @param given what the user asks for
 * @param extent of the training, about; where it is known in epochs, by the batch
 * @param time the seconds of a step with these flags; asked for no more scales than may be worth it
 * @throws what `time` throws for the quickest scale
 */
export async function settle(
  { images, width, height }: Pick<DataFacts, 'images' | 'width' | 'height'>,
  given: RunFlags,
  extent: Extent | ((batch: number) => Extent),
  time: (flags: RunFlags) => Promise<number>,
): Promise<Settled> {
  const recipe = recipeFor(images, given);
  const flags = recipeFlags(recipe, images, given);
  const [first, ...larger] = scalesFor(Math.min(width, height), given);
  const measured = async (scale: typeof first) => {
    const { arch, imageSize } = scale!;
    return { ...scale!, secondsPerStep: await time({ ...flags, arch, imageSize }) };
  };
  const known = typeof extent === 'function' ? extent(flags.batchSize!) : extent;
  const fits = (scale: TimedScale) => isWorth(scale, flags.batchSize!, known);
  let best: TimedScale = await measured(first);
  let reason = larger.length > 0 ? 'a larger one would see too few images' : 'the largest for such images';
  for (const scale of larger) {
    // At best its cost grows with the pixels.
    const least = best.secondsPerStep * (scale.imageSize / best.imageSize) ** 2;
    if (!fits({ ...scale, secondsPerStep: least })) break;
    const timed = await measured(scale).catch(ifTooLarge);
    if (!timed) reason = 'a larger one does not run on this device';
    if (!timed || !fits(timed)) break;
    best = timed;
    if (scale === larger.at(-1)) reason = 'the largest for such images';
  }
  if (given.arch !== undefined) reason = given.init === undefined ? 'asked for' : `that of ${given.init}`;
  return {
    recipe,
    flags: { ...flags, arch: best.arch, imageSize: best.imageSize },
    scale: best,
    reason,
  };
}

/** A scale that the device has no memory for, or no kernel. */
function ifTooLarge(error: unknown): undefined {
  if (!(error instanceof BackendError)) throw error;
}
