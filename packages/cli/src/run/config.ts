/** The resolved configuration of a run: everything that decides its result, as plain JSON. */
import { UserError } from '@moco-ts/core';
import type { ImageDataset, ViewName } from '@moco-ts/data';
import { defaultWorkers } from './plugins.ts';

export const methods = ['moco-v1', 'moco-v2'] as const;
export type Method = (typeof methods)[number];
/** Methods of the papers that this version lacks. */
export const laterMethods = ['moco-v3', 'simclr', 'instdisc'] as const;

export interface RunConfig {
  readonly data: string;
  /** `emoji`: whose drawings. */
  readonly designers?: readonly string[];
  /** Image folders: the share of pictures held out as a test split. */
  readonly holdOut?: number;
  readonly method: Method;
  readonly arch: string;
  /** Pixels. */
  readonly imageSize: number;
  /** Default: the arch's own, but `cifar` for a ResNet on pictures of 64 pixels or less. */
  readonly stem?: 'imagenet' | 'cifar';
  readonly mocoDim: number;
  readonly mocoK: number;
  readonly mocoM: number;
  readonly mocoT: number;
  readonly mlp: boolean;
  readonly augPlus: boolean;
  readonly cropMin: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly batchSize: number;
  readonly epochs: number;
  readonly startEpoch: number;
  readonly optimizer: 'sgd' | 'adamw';
  readonly lr: number;
  readonly momentum: number;
  readonly wd: number;
  readonly schedule: readonly number[];
  readonly cos: boolean;
  readonly warmupEpochs: number;
  /** The rate follows the schedule within epochs too. */
  readonly lrPerStep: boolean;
  readonly bn: 'shuffle' | 'split' | 'plain';
  readonly bnSplits: number;
  readonly symmetric: boolean;
  readonly seed: number;
  readonly backend: string;
  readonly threads?: number;
  readonly workers: number;
  readonly maxBad?: number;
  readonly printFreq: number;
  readonly saveEvery: number;
  readonly keep: number;
  /** Epochs between evaluations; 0: never. */
  readonly knnEvery: number;
  readonly maxSteps?: number;
}

/** What the command line names; the rest comes from defaults or from a checkpoint. */
export type RunFlags = { -readonly [Key in keyof RunConfig]?: RunConfig[Key] };

type Row = Pick<RunConfig, 'mlp' | 'mocoT' | 'augPlus' | 'cos'>;

/** SPEC.md's table of methods. */
const rows: Readonly<Record<Method, Row>> = {
  'moco-v1': { mlp: false, mocoT: 0.07, augPlus: false, cos: false },
  'moco-v2': { mlp: true, mocoT: 0.2, augPlus: true, cos: true },
};

const defaults = {
  arch: 'resnet50',
  mocoDim: 128,
  mocoK: 65536,
  mocoM: 0.999,
  cropMin: 0.2,
  // ImageNet's channels, as the papers have them whatever the pictures.
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  batchSize: 256,
  epochs: 200,
  startEpoch: 0,
  optimizer: 'sgd',
  momentum: 0.9,
  wd: 1e-4,
  schedule: [120, 160],
  warmupEpochs: 0,
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
 * @throws UserError for settings that exclude each other
 */
export function resolveConfig(
  flags: RunFlags & { data: string },
  dataset: Pick<ImageDataset, 'source' | 'share'>,
): RunConfig {
  const method = flags.method ?? 'moco-v1';
  const merged = {
    ...defaults,
    lr: flags.optimizer === 'adamw' ? 1e-3 : 0.03,
    imageSize: defaultImageSize(dataset),
    workers: defaultWorkers(),
    method,
    ...rows[method],
    ...flags,
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
  ['optimizer', '--optimizer'],
] as const;

/**
 * The configuration with which a checkpoint goes on: its own, with what the flags change.
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
  const config = { ...saved, ...flags };
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
}

/** Groups of batch normalisation. */
export const splitsOf = (config: Pick<RunConfig, 'bn' | 'bnSplits'>) =>
  config.bn === 'plain' ? 1 : config.bnSplits;

export const viewsOf = (config: RunConfig): ViewName => (config.augPlus ? 'aug-plus' : 'v1');

export const plainBnWarning =
  'plain batch normalisation on one rank: queries and keys share batch statistics, by which the loss can ' +
  'tell a positive without looking at its content (MoCo, section 3.3); --bn shuffle, the default, prevents it';
