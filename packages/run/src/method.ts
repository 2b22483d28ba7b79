/**
 * The contract of methods, the third beside core's `defineEncoder` and `defineBackend`. It is here and not in core because
 * it uses the table of settings, and views, which belong to `data`.
 */
import type {
  Encoder,
  EncoderConfig,
  EncoderTraits,
  ModelHead,
  Optimizer,
  Params,
  PassConfig,
  Tensor,
  TrainingStep,
  Wording,
} from '@moco-ts/core';
import type { Batch, Pixels, ViewConfig } from '@moco-ts/data/portable';
import type { ConfigOf, SettingTable } from './setting.ts';
import type { CommonConfig, CommonName } from './settings.ts';

/** When a step is taken. */
export interface Moment {
  readonly epoch: number;
  /** Of the epoch. */
  readonly step: number;
  /** Of the run. */
  readonly globalStep: number;
  /** The share of training that is done, in [0, 1). */
  readonly progress: number;
}

/** A batch as the steps of a run are fed from it. */
export interface StepBatch extends Batch<Pixels> {
  /** [N, mocoDim], the features by the teacher, for methods that name `teacher` in `uses`: who runs the training computes them. */
  readonly teacher?: Float32Array;
}

/** A run's method as the training loop needs it. */
export interface RunMethod {
  /** The encoder as a run begins it, by its own names, with its head under `fc`. */
  params(): Params;
  /** The state before the first step. Its `q.*` are what is measured and exported: {@link RunMethod.params} at the start. */
  state(): Record<string, Tensor>;
  /**
   * The training step. Of its metrics `loss` must be there; `featureStd`, the feature std of vectors of unit length and
   * `mocoDim` numbers, is drawn in the report and watched for a collapse; the rest is described by `metrics`.
   */
  step(state: Readonly<Record<string, Tensor>>): TrainingStep;
  /**
   * The step's feeds, except the optimizer's scalars. A batch has the images of all replicas, or of several processes the own ones: what
   * has a row for each image is cut by replica, what all have in common goes to each as it is.
   */
  feeds(batch: StepBatch, at: Moment): Record<string, Tensor>;
  /** The loss of guessing, with its formula; undefined where it depends on the data. */
  readonly chance?: { readonly loss: number; readonly formula: string };
  /** Steps after which its dictionary holds nothing any more of the noise that it begins with; undefined where it begins with none. */
  readonly warmUp?: { readonly steps: number; readonly dictionary: 'queue' | 'bank' };
}

/** No settings of its own. */
export type NoSettings = Record<never, never>;

/** The settings of a run: those that methods share, and a method's own. */
export type MethodConfig<Own extends SettingTable = NoSettings> = CommonConfig & ConfigOf<Own>;

/** What a run's method is made of. `batch` is one replica's, and where gradients accumulate a micro-batch's. */
export interface MethodContext<Config> extends PassConfig {
  readonly config: Config;
  /** Images of the data set. */
  readonly images: number;
  readonly optimizer: Optimizer;
}

/** Metrics that belong together: on one chart of the report, and side by side in the terminal. */
export interface MetricGroup {
  readonly title: string;
  /** What the axis counts, as `percent`. */
  readonly unit: string;
  /** What people read, by the metric's name in the step. */
  readonly labels: Readonly<Record<string, string>>;
  /** Digits behind the point in the terminal. */
  readonly digits: number;
  /** A line on what the metrics say. */
  readonly note?: string;
  /** A line across the chart: chance, or what would be right. */
  readonly level?: { readonly value: number; readonly label: string };
}

/** Something to say before the first step. */
export type Remark =
  | { readonly kind: 'warning'; readonly text: Wording }
  | { readonly kind: 'note'; readonly text: string };

/** A checkpoint that a run resumes. */
export interface ResumePoint<Config> {
  readonly path: string;
  /** Steps of the epoch that are done. */
  readonly step: number;
  readonly config: Config;
  readonly tensors: Readonly<Record<string, Tensor>>;
}

/**
 * A method: how an encoder is trained. What it says of settings becomes flags, `--help`, checks, options of the library and
 * the stored configuration, as those of the methods that come along.
 */
export interface MethodPlugin<Own extends SettingTable = NoSettings, Name extends string = string> {
  /** What `--method`, a run and its checkpoints know it by. */
  readonly name: Name;
  /** Settings of its own, by names that no other method has. */
  readonly settings?: Own & SettingTable;
  /**
   * The opt-in settings of the common table that it takes. With `teacher` (and its other settings) a run needs a trained
   * network, `mocoDim` is the length of its features, and batches have them. With `accumulate` the context's `batch` is a micro-batch's, and the step's
   * tracer is to know their number: `new StepTracer(state, context)`.
   */
  readonly uses?: readonly CommonName[];
  /**
   * What it sets that differs from the table's defaults. Left out, `lr` and `wd` are those of the optimizer.
   * @param named what is known already: a value may depend on it, as the learning rate on the optimizer
   */
  defaults(traits: EncoderTraits, named: Partial<MethodConfig<Own>>): Partial<MethodConfig<Own>>;
  /** The distributions of the views of an image: one for each that the step is fed. */
  views(config: MethodConfig<Own>): readonly ViewConfig[];
  /** The metrics of a step that people are shown, besides `loss` and `featureStd`. Default none. */
  metrics?(config: MethodConfig<Own>): readonly MetricGroup[];
  /** @throws UserError for settings that don't fit each other */
  create(context: MethodContext<MethodConfig<Own>>): RunMethod;
  /** What follows the features of a trained encoder, under `fc`. */
  head(
    config: MethodConfig<Own>,
    model: { readonly encoder: Encoder; readonly encoderConfig: EncoderConfig },
  ): ModelHead;
  /** What to say before the first step. Default nothing. @param replicas R */
  remarks?(config: MethodConfig<Own>, images: number, replicas: number): readonly Remark[];
  /** @throws UserError if a run can't resume a checkpoint with these settings. Default: it always can. */
  resumeCheck?(config: MethodConfig<Own>, from: ResumePoint<MethodConfig<Own>>): void;
  /** As whose `moco convert` names the tensors: `queue` as MoCo v1's and v2's, the default; `momentum` as MoCo v3's. */
  readonly naming?: 'queue' | 'momentum';
}

/** Marks an object as a method, with its type checked. */
export function defineMethod<Name extends string, Own extends SettingTable = NoSettings>(
  method: MethodPlugin<Own, Name>,
): MethodPlugin<Own, Name> {
  return method;
}

/**
 * Groups of batch normalisation on each of R replicas: the settings' groups are of the whole batch, so that another R goes on with the
 * same ones. Where R does not go into them each replica is one, as in the paper.
 */
export function splitsOf({ bn, bnSplits }: Pick<CommonConfig, 'bn' | 'bnSplits'>, replicas = 1): number {
  if (bn === 'plain' || bn === 'sync') return 1;
  return bnSplits % replicas === 0 ? bnSplits / replicas : 1;
}

type Sizes = Pick<CommonConfig, 'imageSize'>;

/** A view of a batch's images, as the feed that steps name `xq` or `xk`: [N, 3, S, S], float32 or bytes as the batch has them. */
export function viewFeed({ imageSize }: Sizes, batch: Batch<Pixels>, which: number): Tensor {
  const data = batch.views[which]!;
  const dtype = data instanceof Uint8Array ? 'uint8' : 'float32';
  return { shape: [batch.indices.length, 3, imageSize, imageSize], dtype, data };
}

/** The teacher's features of a batch, as the feed that steps name `teacher`: [N, mocoDim]; of a batch without any zeros. */
export function teacherFeed(
  { mocoDim }: Pick<CommonConfig, 'mocoDim'>,
  { indices: { length: images }, teacher = new Float32Array(images * mocoDim) }: StepBatch,
): Tensor {
  return { shape: [images, mocoDim], dtype: 'float32', data: teacher };
}

/** Both views. */
export function viewFeeds(config: Sizes, batch: Batch<Pixels>): Record<'xq' | 'xk', Tensor> {
  return { xq: viewFeed(config, batch, 0), xk: viewFeed(config, batch, 1) };
}
