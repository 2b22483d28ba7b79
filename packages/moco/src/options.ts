import type { Measures } from '@moco-ts/cli/run';
import type { BackendPlugin, Encoder } from '@moco-ts/core';
import type { Designer, OwnDataset } from '@moco-ts/data';
import type { Method, Optimizer, PresetName } from '@moco-ts/run';

/** The encoders that come with MoCo.ts, by torchvision's and timm's names. */
export type ArchName =
  | 'resnet18'
  | 'resnet34'
  | 'resnet50'
  | 'resnet101'
  | 'resnet152'
  | 'resnext50_32x4d'
  | 'resnext101_32x8d'
  | 'wide_resnet50_2'
  | 'wide_resnet101_2'
  | 'resnet-tiny'
  | 'resnet-micro'
  | 'vit_tiny'
  | 'vit_small'
  | 'vit_base'
  | 'vit_large'
  | 'vit_conv_small'
  | 'vit_conv_base';

/** What computes, as `moco backends` lists it; `auto`: the quickest that is usable here. */
export type BackendName =
  | 'auto'
  | 'ort'
  | 'ort:cuda'
  | 'ort:webgpu'
  | 'tfjs:cpu'
  | 'tfjs:wasm'
  | 'tfjs:node'
  | 'tfjs:node-gpu'
  | 'webgpu'
  | 'reference';

/** What one method, or several, read. */
export interface MethodOptions {
  /** Sets head, temperature, views, optimizer and schedule. Default `moco-v1`. */
  readonly method?: Method;
  /** A published recipe, over which the other options win. */
  readonly preset?: PresetName;
  /** Length of queries and keys. Default 128; `moco-v3` 256. */
  readonly mocoDim?: number;
  /** Keys in the queue, a multiple of the batch, default 65536; `instdisc`: noise samples, default 4096. */
  readonly mocoK?: number;
  /** Momentum of the key encoder, in [0, 1]. Default 0.999; `moco-v3` 0.99. */
  readonly mocoM?: number;
  /** `moco-v3`: m rises to 1 by half a cosine. Default true. */
  readonly mocoMCos?: boolean;
  /** Temperature. Default 0.07; `moco-v2` 0.2; `moco-v3` 0.2 for ViTs, 1 for ResNets; `simclr` 0.1. */
  readonly mocoT?: number;
  /** A head of two layers. Default that of the method: `moco-v2` and `simclr` have it. */
  readonly mlp?: boolean;
  /** `moco-v3`: width of the heads' hidden layers. Default 4096. */
  readonly mocoMlpDim?: number;
  /** `instdisc`: default `nce`. */
  readonly loss?: 'infonce' | 'nce';
  /** `instdisc`: share of a slot's old value in its new one, in [0, 1]. Default 0.5. */
  readonly bankMomentum?: number;
  /** `instdisc`: noise samples for each picture, or one draw for the batch. Default `picture`. */
  readonly bankDraw?: 'picture' | 'batch';
  /** `instdisc`: weight of the proximal term. Default 0. */
  readonly proximal?: number;
  /** `moco-v1`, `moco-v2`: swap the views and add the second loss. Default false. */
  readonly symmetric?: boolean;
  /** Groups of batch normalisation; `shuffle`: with permuted keys. Default `shuffle` where there is a queue, else `sync`. */
  readonly bn?: 'shuffle' | 'split' | 'sync' | 'plain';
  /** Groups of batch normalisation. Default 8. */
  readonly bnSplits?: number;
}

/** The encoder, and what it sees. */
export interface ViewOptions {
  /** An encoder's name, or an encoder of your own. Default `resnet50`. */
  readonly arch?: ArchName | Encoder;
  /** Side of a view in pixels. Default 224; 32 for emoji, CIFAR and idx sets. */
  readonly imageSize?: number;
  /** ResNets: default `imagenet`, up to 64 pixels `cifar`. */
  readonly stem?: 'imagenet' | 'cifar';
  /** ViTs: side of a patch in pixels. Default 16. */
  readonly patchSize?: number;
  /** ViTs: leave the patch projection as initialised. Default true. */
  readonly stopGradConv1?: boolean;
  /** The views of MoCo v2, with blur. Default that of the method: `moco-v2` and `simclr` have them. */
  readonly augPlus?: boolean;
  /** Blur, where the views have it. Default true. */
  readonly blur?: boolean;
  /** Least share of a picture's area in a crop, in (0, 1]. Default 0.2; `moco-v3` 0.08. */
  readonly cropMin?: number;
  /** Of the channels R, G, B in [0, 1], subtracted from pixels. Default ImageNet's. */
  readonly mean?: readonly [number, number, number];
  /** Of the channels, by which pixels are divided. Default ImageNet's. */
  readonly std?: readonly [number, number, number];
}

/** The optimization. */
export interface TrainingOptions {
  /** Epochs in all. Default 200; `moco-v3` 300. */
  readonly epochs?: number;
  /** Epoch to count from, without a checkpoint. Default 0. */
  readonly startEpoch?: number;
  /** Pictures in a step. Default 256. */
  readonly batchSize?: number;
  /** Default `sgd`; `moco-v3` `adamw` for ViTs, else `lars`; `simclr` `lars`. */
  readonly optimizer?: Optimizer;
  /** Learning rate. Default 0.03 for `sgd`, 0.3 for `lars`, 0.001 for `adamw`; `moco-v3` with `adamw` 0.00015. */
  readonly lr?: number;
  /** The rate is for a batch of 256, and grows with it. Default true for `moco-v3` and `simclr`. */
  readonly scaleLr?: boolean;
  /** Epochs at which the rate falls tenfold. Default 120 and 160. */
  readonly schedule?: readonly number[];
  /** Cosine schedule. Default that of the method: `moco-v2`, `moco-v3` and `simclr` have it. */
  readonly cos?: boolean;
  /** Follow the schedule within epochs too. Default true for `moco-v3` and `simclr`. */
  readonly lrPerStep?: boolean;
  /** Epochs of a linear rise. Default 0; `moco-v3` 40 for ViTs, else 10; `simclr` 10. */
  readonly warmupEpochs?: number;
  /** Of `sgd` and `lars`, in [0, 1]. Default 0.9. */
  readonly momentum?: number;
  /** Weight decay. Default 0.0001; `lars` 0.000001; `moco-v3` with `adamw` 0.1. */
  readonly wd?: number;
  /** Decides weights, order, views and permutations; below 2^32. Default 0. */
  readonly seed?: number;
}

/** The pictures. */
export interface DataOptions {
  /** An image folder, a folder of idx or CIFAR files, the built-in set `emoji`, or a data set of your own. */
  readonly data?: string | OwnDataset;
  /** Pictures that are not trained on, for `knnEvery`. Default the set's own test split. */
  readonly testData?: string | OwnDataset;
  /** Threads that make views. Default the machine's cores less one, 8 at most; 0: the calling thread. */
  readonly workers?: number;
  /** Damaged pictures that are left out before it is an error. Default 1 %, at least 10. */
  readonly maxBad?: number;
  /** Decode in processes instead of threads: a picture that crashes the decoder is left out. Default false. */
  readonly isolate?: boolean;
  /** Share of an image folder that is kept for testing, in [0, 1]. Default 0. */
  readonly holdOut?: number;
  /** `emoji`: whose drawings. Default google and twitter. */
  readonly designers?: readonly Designer[];
}

/** The machine, the run folder, and when to stop. */
export interface RunOptions {
  /** A backend's name, or a backend of your own. Default `ort`. */
  readonly backend?: BackendName | BackendPlugin;
  /** Threads of the backend. Default all cores. */
  readonly threads?: number;
  /** Stop, and save, after this many steps of the run. */
  readonly maxSteps?: number;
  /** The run folder. Default `runs/DATA-METHOD-ARCH`. */
  readonly out?: string;
  /** A checkpoint or a run folder to go on from; `auto`: go on with `out` if it holds a run. */
  readonly resume?: string;
  /** Steps between lines of `log.jsonl`. Default 10. */
  readonly printFreq?: number;
  /** Epochs between checkpoints. Default 1. */
  readonly saveEvery?: number;
  /** Steps between checkpoints, besides. Default none. */
  readonly saveEverySteps?: number;
  /** Checkpoints to keep. Default 3. */
  readonly keep?: number;
  /** Epochs between evaluations; 0: never. Default 0. */
  readonly knnEvery?: number;
  /** Aborting ends the run after the step under way and saves: {@link PretrainResult.outcome} is `stopped` then. */
  readonly signal?: AbortSignal;
  /** Told of each evaluation. */
  readonly onEvaluation?: (evaluation: EvaluationEvent) => void;
  /** Told of what is not as it should be: a damaged picture, a collapse. Default `process.emitWarning`. */
  readonly onWarning?: (message: string) => void;
}

/** The measures of an encoder in the middle of a run, in percent. */
export interface EvaluationEvent extends Measures {
  /** Epochs that are done. */
  readonly epoch: number;
}

/** The options of {@link pretrain}: those of `moco pretrain` by the same names, with the same defaults. */
export interface PretrainOptions
  extends MethodOptions,
    ViewOptions,
    TrainingOptions,
    DataOptions,
    RunOptions {}
