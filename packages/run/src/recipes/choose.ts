/** Chooses from the table of recipes by what is known of data, machine and time; measures nothing itself. */
import { methodOf } from '../registry.ts';
import { meaningless, type RunFlags } from '../table.ts';
import { type Recipe, recipes, type Scale, scales, TRAINED_RATE, usualFlags } from './table.ts';

/** Fewer images are refused: a batch of them is all that there is to tell an image from. */
export const FEWEST_IMAGES = 8;

/**
 * The recipe for a set: of the method that is asked for, else by the number of images, of a method that takes all that is asked for.
 * @param images that are trained on
 */
export function recipeFor(images: number, given: RunFlags): Recipe {
  const { method } = given;
  const suits = ({ flags }: Recipe) =>
    method === undefined ? meaningless(methodOf(flags), given) === undefined : flags.method === method;
  const suiting = recipes.filter(suits);
  const usual = method === undefined ? recipes[0]! : { from: 0, flags: { method }, reason: 'asked for' };
  return suiting.findLast(({ from }) => from <= images) ?? suiting.at(-1) ?? usual;
}

/**
 * The largest power of 2 that a set has images for.
 * @param most where there are enough
 */
export const batchFor = (images: number, most: number): number =>
  images >= most ? most : 2 ** Math.floor(Math.log2(images));

/** The scales that suit images of a size, each with what the user asks for in its place; none twice. */
export function scalesFor(side: number, { arch, imageSize }: RunFlags): readonly Scale[] {
  const [first, ...others] = scales;
  // Larger views than images hold nothing more.
  const suiting = [first!, ...others.filter((scale) => imageSize !== undefined || scale.imageSize <= side)];
  const asked = suiting.map((scale) => ({
    ...scale,
    ...(arch !== undefined && { arch }),
    ...(imageSize !== undefined && { imageSize }),
  }));
  const key = (scale: Scale) => `${scale.arch} ${scale.imageSize}`;
  return asked.filter((scale, at) => asked.findIndex((other) => key(other) === key(scale)) === at);
}

/** A scale whose step was timed. */
export interface TimedScale extends Scale {
  readonly secondsPerStep: number;
}

/** How long a training is. */
export type Extent = { readonly seconds: number } | { readonly steps: number };

/** Whether a training sees the images that a scale is worth. */
export const isWorth = ({ secondsPerStep, worth }: TimedScale, batch: number, extent: Extent): boolean =>
  batch * ('steps' in extent ? extent.steps : extent.seconds / secondsPerStep) >= worth;

/**
 * The flags of a run: the user's, before the recipe's, before the usual ones. Weights that are trained already get a smaller
 * learning rate.
 */
export function recipeFlags(recipe: Recipe, images: number, given: RunFlags): RunFlags {
  const own: RunFlags = { ...usualFlags, ...recipe.flags };
  const { init, lr, batchSize = batchFor(images, own.batchSize!), mocoK = own.mocoK } = given;
  const keys = batchSize * (given.symmetric ? 2 : 1);
  return {
    ...own,
    ...(init !== undefined && lr === undefined && { lr: own.lr! * TRAINED_RATE }),
    ...given,
    batchSize,
    // A longer queue would hold the other keys of a batch's own images; it is replaced by whole steps.
    ...(mocoK !== undefined && {
      mocoK: given.mocoK ?? keys * Math.max(1, Math.floor(batchFor(Math.floor(images / 2), mocoK) / keys)),
    }),
  };
}
