import type { BackendPlugin, Encoder } from '@moco-ts/core';
import type { Designer, OwnDataset } from '@moco-ts/data';
import type { Measures } from '@moco-ts/node';
import type {
  ConfigOf,
  LogSinkPlugin,
  Method,
  MethodPlugin,
  PresetName,
  RunConfig,
  SettingTable,
} from '@moco-ts/run';

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
  | 'resnet-mini'
  | 'vit_tiny'
  | 'vit_small'
  | 'vit_base'
  | 'vit_large'
  | 'vit_conv_small'
  | 'vit_conv_base'
  | 'deit_tiny_patch16_224'
  | 'deit_small_patch16_224'
  | 'deit_base_patch16_224'
  | 'vit_large_patch16_224'
  | 'vit_small_patch14_dinov2'
  | 'vit_base_patch14_dinov2'
  | 'vit_large_patch14_dinov2'
  | 'vit_small_patch14_reg4_dinov2'
  | 'vit_base_patch14_reg4_dinov2'
  | 'vit_large_patch14_reg4_dinov2'
  | 'vit_base_patch16_clip_224'
  | 'vit_large_patch14_clip_224'
  | 'vit_base_patch16_clip_quickgelu_224'
  | 'vit_large_patch14_clip_quickgelu_224';

/** The backends that come with MoCo.ts, as `moco backends` lists them; `auto`: the fastest that is usable here. */
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
  | 'xla:cpu'
  | 'xla:cuda'
  | 'reference';

/** What the library takes that the settings of a run are not, or takes in another form. */
export interface OwnOptions {
  /** A published recipe, over which the other options win. */
  readonly preset?: PresetName;
  /** A method's name, or a method of your own: it sets head, views, optimizer and schedule. Default `moco-v1`. */
  readonly method?: Method | MethodPlugin;
  /** An encoder's name, or an encoder of your own. Default `resnet50`. */
  readonly arch?: ArchName | Encoder;
  /** Of the channels R, G, B in [0, 1], subtracted from pixels. Default ImageNet's. */
  readonly mean?: readonly [number, number, number];
  /** Of the channels, by which pixels are divided. Default ImageNet's. */
  readonly std?: readonly [number, number, number];
  /** An image folder, a folder of idx or CIFAR files, the built-in set `emoji`, or a data set of your own. */
  readonly data?: string | OwnDataset;
  /** Images that are not trained on, for `measureEvery`. Default the set's own test split. */
  readonly testData?: string | OwnDataset;
  /** @deprecated The earlier name of `measureEvery`. */
  readonly knnEvery?: number;
  /** `emoji`: whose drawings. Default google and twitter. */
  readonly designers?: readonly Designer[];
  /** A backend's name, or a backend of your own. Default `ort`. */
  readonly backend?: BackendName | (string & {}) | BackendPlugin;
  /**
   * How long the run takes in all, with everything that it does until its end: seconds, or a text such as `90s`, `30m` or `1h30m`.
   * Schedules follow the time instead of epochs; `epochs`, where it is named, ends the run too. Default none.
   */
  readonly time?: number | string;
  /** The run folder. Default `runs/DATA-METHOD-ARCH`. */
  readonly out?: string;
  /** A checkpoint or a run folder to resume; `auto`: resume `out` if it holds a run. */
  readonly resume?: string;
  /** Where the log goes beside `log.jsonl`: `tensorboard`, `mlflow` or `mlflow:URL`, or sinks of your own. Default TensorBoard. */
  readonly log?: readonly (string | LogSinkPlugin)[];
  /** Aborting ends the run after the current step and saves: {@link PretrainResult.outcome} is `stopped` then. */
  readonly signal?: AbortSignal;
  /** Called after each evaluation. */
  readonly onEvaluation?: (evaluation: EvaluationEvent) => void;
  /** Called with each warning: a damaged image, a collapse. Default `process.emitWarning`. */
  readonly onWarning?: (message: string) => void;
}

/** The measures of an encoder in the middle of a run, in percent. */
export interface EvaluationEvent extends Measures {
  /** Epochs that are done. */
  readonly epoch: number;
  /** With `select`: whether it is the best so far. */
  readonly best?: boolean;
}

/** The options of {@link pretrain}: those of `moco pretrain` by the same names, with the same defaults. */
export interface PretrainOptions
  extends OwnOptions,
    Partial<Omit<RunConfig, 'plugin' | 'openEnded' | 'teacherChecksum' | keyof OwnOptions>> {}

/** A method of your own among the options, and its settings beside it. */
export type MethodOptions<Own extends SettingTable> = {
  /** A built-in method's name, or a method of your own. */
  readonly method?: Method | MethodPlugin<Own>;
} & Partial<ConfigOf<Own>>;
