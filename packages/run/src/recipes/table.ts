/**
 * What `moco train` chooses from. The values come from experiments, docs/recipes.md has them with those that failed: a new
 * finding is a change of this file alone.
 */
import type { RunFlags } from '../table.ts';

/** How a network is trained, for data sets of a size. */
export interface Recipe {
  /** The least number of images for which it is chosen; of several the largest is. `Infinity`: only where its method is asked for. */
  readonly from: number;
  readonly flags: RunFlags & { readonly method: string };
  /** Why, for people. */
  readonly reason: string;
}

/** An encoder and its image size. */
export interface Scale {
  readonly arch: string;
  /** Side of a view in pixels. */
  readonly imageSize: number;
  /** Images, each counted once per pass, that it takes to learn more than the row before. */
  readonly worth: number;
}

/** Where neither a recipe nor the user says otherwise. AdamW at this rate needs no warm-up at a batch of 64. */
export const usualFlags = {
  batchSize: 64,
  optimizer: 'adamw',
  lr: 2e-3,
  scaleLr: false,
  warmupEpochs: 0,
  cos: true,
  lrPerStep: true,
  cropMin: 0.35,
  hue: 0.05,
  grayscale: 0.1,
} as const satisfies RunFlags;

/** The first is for the smallest sets. A queue has not yet been better on any set, whatever the number of images. */
export const recipes: readonly Recipe[] = [
  {
    from: 0,
    flags: { method: 'simclr', mocoT: 0.1 },
    reason: 'the rest of a batch as negatives: the best on each set that was tried',
  },
  {
    from: Number.POSITIVE_INFINITY,
    flags: { method: 'moco-v2', mocoK: 4096, mocoM: 0.99, mocoT: 0.1 },
    reason: 'asked for',
  },
  {
    from: Number.POSITIVE_INFINITY,
    flags: { method: 'moco-v3', mocoT: 0.2, mocoM: 0.95, mocoMlpDim: 512 },
    reason: 'asked for',
  },
];

/**
 * From the quickest to the slowest. The last one is taken that the images are large enough for, and for which the time buys the
 * images that it is worth. Only the first row comes from experiments.
 */
export const scales: readonly Scale[] = [
  { arch: 'resnet-mini', imageSize: 32, worth: 0 },
  { arch: 'resnet-mini', imageSize: 64, worth: 300_000 },
  { arch: 'resnet18', imageSize: 96, worth: 1_000_000 },
  { arch: 'resnet50', imageSize: 224, worth: 10_000_000 },
];

/** A rate for weights that are trained already, as a share of the one for random weights. */
export const TRAINED_RATE = 0.1;
