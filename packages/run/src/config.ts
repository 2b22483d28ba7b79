/** The resolved configuration of a run: everything that decides its result, as plain JSON. */
import { UserError } from '@moco-ts/core';
import { type ImageDataset, type ViewConfig, views } from '@moco-ts/data/portable';
import {
  defaultDecay,
  defaultRate,
  defaultWarmup,
  hasQueue,
  type Method,
  meaningless,
  rowOf,
} from './methods.ts';

export const optimizers = ['sgd', 'adamw', 'lars'] as const;
/** What applies the gradients. */
export type Optimizer = (typeof optimizers)[number];

/** The settings of a run, defaults included; plain JSON. */
export interface RunConfig {
  /** The folder or the built-in set; `object:NAME` for a data set of a program's own. */
  readonly data: string;
  /** `emoji`: whose drawings. */
  readonly designers?: readonly string[];
  /** Image folders: the share of pictures held out as a test split. */
  readonly holdOut?: number;
  /** The contrastive method. */
  readonly method: Method;
  /** The encoder's name. */
  readonly arch: string;
  /** Pixels. */
  readonly imageSize: number;
  /** Default: the arch's own, but `cifar` for a ResNet on pictures of 64 pixels or less. */
  readonly stem?: 'imagenet' | 'cifar';
  /** ViTs: side of a patch in pixels; default 16. */
  readonly patchSize?: number;
  /** ViTs: the linear patch projection stays as initialised (MoCo v3, section 4.2). */
  readonly stopGradConv1: boolean;
  /** Length of queries and keys. */
  readonly mocoDim: number;
  /** Keys in the queue; `instdisc`: noise samples. */
  readonly mocoK: number;
  /** Momentum of the key encoder, in [0, 1]. */
  readonly mocoM: number;
  /** `moco-v3`: m rises to 1 by half a cosine. */
  readonly mocoMCos: boolean;
  /** Temperature. */
  readonly mocoT: number;
  /** A head of two layers. */
  readonly mlp: boolean;
  /** `moco-v3`: width of the projector's and predictor's hidden layers. */
  readonly mocoMlpDim: number;
  /** The loss; `nce` for `instdisc` alone. */
  readonly loss: 'infonce' | 'nce';
  /** `instdisc`: the share of a slot's old value in its new one. */
  readonly bankMomentum: number;
  /** `instdisc`: noise samples for each picture, or one draw for the batch. */
  readonly bankDraw: 'picture' | 'batch';
  /** `instdisc`: weight of the proximal term. */
  readonly proximal: number;
  /** The views of MoCo v2. */
  readonly augPlus: boolean;
  /** Whether views may be blurred. */
  readonly blur: boolean;
  /** Least share of a picture's area in a crop, in (0, 1]. */
  readonly cropMin: number;
  /** Of the channels R, G, B in [0, 1], subtracted from pixels. */
  readonly mean: readonly number[];
  /** Of the channels, by which pixels are divided. */
  readonly std: readonly number[];
  /** Pictures in a step. */
  readonly batchSize: number;
  /** Epochs in all. */
  readonly epochs: number;
  /** Epoch that the run counted from. */
  readonly startEpoch: number;
  /** What applies the gradients. */
  readonly optimizer: Optimizer;
  /** Learning rate. */
  readonly lr: number;
  /** The rate is `lr` for a batch of 256, and grows with the batch. */
  readonly scaleLr: boolean;
  /** Of `sgd` and `lars`. */
  readonly momentum: number;
  /** Weight decay. */
  readonly wd: number;
  /** Epochs at which the rate falls tenfold. */
  readonly schedule: readonly number[];
  /** Cosine schedule. */
  readonly cos: boolean;
  /** Epochs of a linear rise. */
  readonly warmupEpochs: number;
  /** The rate follows the schedule within epochs too. */
  readonly lrPerStep: boolean;
  /** `sync`: one group over all ranks, of which there is one here. */
  readonly bn: 'shuffle' | 'split' | 'sync' | 'plain';
  /** Groups of batch normalisation. */
  readonly bnSplits: number;
  /** Views swapped and a second loss added. */
  readonly symmetric: boolean;
  /** Decides weights, order, views and permutations. */
  readonly seed: number;
  /** What computes. */
  readonly backend: string;
  /** What the user loaded by `--plugin`; to tell, never to load by itself. */
  readonly plugin?: readonly string[];
  /** Threads of the backend; default all cores. */
  readonly threads?: number;
  /** Threads that make views. */
  readonly workers: number;
  /** Damaged pictures that are left out before it is an error. */
  readonly maxBad?: number;
  /** Pictures are decoded in processes instead of threads: one that crashes the decoder is left out. */
  readonly isolate?: boolean;
  /** Steps between lines of the log. */
  readonly printFreq: number;
  /** Epochs between checkpoints. */
  readonly saveEvery: number;
  /** Steps of the run between checkpoints, besides those of whole epochs. */
  readonly saveEverySteps?: number;
  /** Checkpoints to keep. */
  readonly keep: number;
  /** Epochs between evaluations; 0: never. */
  readonly knnEvery: number;
  /** Steps of the run after which this command stops; one that goes on has its own limit, or none. */
  readonly maxSteps?: number;
}

/** What the command line names; the rest comes from defaults or from a checkpoint. */
export type RunFlags = { -readonly [Key in keyof RunConfig]?: RunConfig[Key] };

const defaults = {
  arch: 'resnet50',
  stopGradConv1: true,
  mocoDim: 128,
  mocoK: 65536,
  mocoM: 0.999,
  mocoMCos: false,
  mocoT: 0.07,
  mlp: false,
  mocoMlpDim: 4096,
  loss: 'infonce',
  bankMomentum: 0.5,
  bankDraw: 'picture',
  proximal: 0,
  augPlus: false,
  blur: true,
  cropMin: 0.2,
  // ImageNet's channels, as the papers have them whatever the pictures.
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  batchSize: 256,
  epochs: 200,
  startEpoch: 0,
  optimizer: 'sgd',
  scaleLr: false,
  momentum: 0.9,
  schedule: [120, 160],
  cos: false,
  lrPerStep: false,
  bn: 'shuffle',
  bnSplits: 8,
  symmetric: false,
  seed: 0,
  backend: 'ort',
  printFreq: 10,
  saveEvery: 1,
  keep: 3,
  knnEvery: 0,
} as const satisfies Partial<RunConfig>;

/** Pictures of known small sets are trained on as they are; photographs are cut to the papers' 224. */
export function defaultImageSize(dataset: Pick<ImageDataset, 'source' | 'share'>): number {
  const shared = dataset.share?.();
  if (shared?.kind === 'raw') return Math.max(32, shared.height);
  return dataset.source.data === 'emoji' ? 32 : 224;
}

/**
 * A new run's configuration: explicit flags before the method's row before the defaults.
 * @param workers threads for pictures where no flag says it
 * @throws UserError for settings that exclude each other, and flags that the method has no use for
 */
export function resolveConfig(
  flags: RunFlags & { data: string },
  dataset: Pick<ImageDataset, 'source' | 'share'>,
  workers = 1,
): RunConfig {
  const { method = 'moco-v1', arch = defaults.arch } = flags;
  const refused = meaningless(method, flags);
  if (refused !== undefined) throw new UserError(refused);
  const named = { ...defaults, ...rowOf(method, arch), ...flags };
  const merged: RunConfig = {
    lr: defaultRate(method, named.optimizer),
    wd: defaultDecay(method, named.optimizer),
    warmupEpochs: defaultWarmup(method, arch, named.epochs),
    imageSize: defaultImageSize(dataset),
    workers,
    ...named,
    method,
  };
  const small = merged.imageSize <= 64 && /^(wide_)?resne(t|xt)\d/.test(merged.arch);
  const config: RunConfig = small && !merged.stem ? { ...merged, stem: 'cifar' } : merged;
  check(config);
  return config;
}

/** What the weights in a checkpoint are bound to, with the flag that would change it. */
const bound = [
  ['method', '--method'],
  ['arch', '--arch'],
  ['stem', '--stem'],
  ['mocoDim', '--moco-dim'],
  ['mocoK', '--moco-k'],
  ['mlp', '--mlp'],
  ['mocoMlpDim', '--moco-mlp-dim'],
  ['patchSize', '--patch-size'],
  ['stopGradConv1', '--stop-grad-conv1'],
  ['loss', '--loss'],
  ['optimizer', '--optimizer'],
] as const;

/**
 * The configuration with which a checkpoint goes on: its own but for `maxSteps`, with what the flags change.
 * @param source the checkpoint's name, for messages
 * @throws UserError when a flag asks for a model or an optimizer that the checkpoint is not of
 */
export function resumeConfig(saved: RunConfig, flags: RunFlags, source: string): RunConfig {
  for (const [key, flag] of bound) {
    const [wanted, found] = [flags[key], saved[key]];
    if (wanted !== undefined && wanted !== found) {
      const told =
        typeof found === 'boolean' ? (found ? 'was made with it' : 'was made without') : `has ${found}`;
      throw new UserError(
        `${source} ${told}, but ${flag} asks for ${wanted}; leave ${flag} out, or start a new run without --resume`,
      );
    }
  }
  if (flags.startEpoch !== undefined)
    throw new UserError('--start-epoch and --resume exclude each other: the checkpoint knows its epoch');
  const refused = meaningless(saved.method, flags);
  if (refused !== undefined) throw new UserError(refused);
  // A limit is of the command that it was given to: kept, it would stop whoever goes on at once.
  const { maxSteps: _, ...kept } = saved;
  // Settings that came with later versions have their defaults.
  const config = { ...defaults, ...kept, ...flags };
  check(config);
  return config;
}

function check(config: RunConfig): void {
  if (config.startEpoch >= config.epochs)
    throw new UserError(
      `--start-epoch ${config.startEpoch} leaves nothing to do: epochs run from 0 to ${config.epochs - 1}`,
    );
  if (config.warmupEpochs >= config.epochs)
    throw new UserError(
      `--warmup-epochs ${config.warmupEpochs} should be less than --epochs ${config.epochs}`,
    );
  checkSizes(config);
}

/** Values in one array: 4 GB. */
const mostValues = 2 ** 30;

/**
 * Each setting by itself may be right and their product more than any machine holds.
 * @throws UserError
 */
export function checkSizes(
  config: Pick<RunConfig, 'batchSize' | 'imageSize'> & Partial<Pick<RunConfig, 'mocoK' | 'mocoDim'>>,
): void {
  const { batchSize, imageSize, mocoK = 1, mocoDim = 1 } = config;
  if (3 * batchSize * imageSize ** 2 > mostValues)
    throw new UserError(
      `--batch-size ${batchSize} of --image-size ${imageSize} is more than 4 GB a view: give less of either`,
    );
  if (mocoK * mocoDim > mostValues)
    throw new UserError(`--moco-k ${mocoK} of --moco-dim ${mocoDim} is more than 4 GB: give less of either`);
}

/** Groups of batch normalisation. */
export const splitsOf = (config: Pick<RunConfig, 'bn' | 'bnSplits'>) =>
  config.bn === 'plain' || config.bn === 'sync' ? 1 : config.bnSplits;

/** The distributions of a run's views: two, or one where the method asks for one. */
export function viewsOf({ method, augPlus, imageSize: size, cropMin, blur }: RunConfig): ViewConfig[] {
  const name = method === 'moco-v3' ? 'v3' : augPlus ? 'aug-plus' : 'v1';
  const pair = views[name]({ size, cropMin });
  const drawn = method === 'instdisc' ? pair.slice(0, 1) : pair;
  if (blur) return drawn;
  return drawn.map((view) => ({ ...view, ops: view.ops.filter(({ op }) => op !== 'blur') }));
}

/** What to say before a run whose loss can cheat. */
export function leakWarning(config: Pick<RunConfig, 'method' | 'bn' | 'bnSplits'>): string | undefined {
  if (!hasQueue(config) || splitsOf(config) > 1) return undefined;
  const kind = config.bn === 'sync' ? 'sync, on one rank the same as plain,' : 'plain';
  return (
    `${kind} batch normalisation on one rank: queries and keys share batch statistics, by which the loss can ` +
    'tell a positive without looking at its content (MoCo, section 3.3); --bn shuffle, the default, prevents it'
  );
}
