/** One training: what `moco pretrain` does, on images in memory. */
import {
  type Backend,
  createExtractor,
  createTrainer,
  SettingError,
  type Trainer,
  unitRows,
  withoutHead,
} from '@moco-ts/core';
import {
  applyEvalTransform,
  type Batch,
  createLoaderOn,
  type DatasetSpec,
  type ImageDataset,
  type ImageReader,
  runJob,
} from '@moco-ts/data/portable';
import { exportEncoder } from '@moco-ts/onnx';
import {
  checkpointName,
  checksum,
  createMethod,
  encodeCheckpoint,
  methodOf,
  modelConfig,
  modelMetadata,
  parquetColumns,
  parquetOptions,
  preprocessOf,
  presets,
  queryParams,
  type RunConfig,
  rateAt,
  resolveConfig,
  Session,
  type StepInfo,
  viewsOf,
} from '@moco-ts/run';
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { Settings } from '../fields.ts';
import type { Measure } from '../messages.ts';
import { diverged, finiteFeatures, finiteState } from './finite.ts';
import type { ImageSet } from './images.ts';

export interface StepResult {
  readonly loss: number;
  /** In the unit of the session's measure, where it has one. */
  readonly measured?: number;
  /** Since the last result, or since this step was asked for if that was later. */
  readonly milliseconds: number;
}

/** A step that has begun. */
export interface Begun {
  /** Steps that have begun by now. */
  readonly step: number;
  readonly batch: Batch;
  readonly result: Promise<StepResult>;
}

export interface SavedFile {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A training of the page. */
export interface TabSession {
  readonly config: RunConfig;
  readonly steps: number;
  /** log(K + 1) */
  readonly chance: number;
  readonly measure?: Measure;
  /** Steps that have begun. */
  readonly begun: number;
  /** Whether its state is lost, so that all below but `dispose` fails. */
  readonly broken: boolean;
  /** Steps that may be under way when the next one begins, so that the device is not kept waiting for what is told of them. */
  readonly most: number;
  /** Begins a step; undefined after the last. Calls of this and of all below must not overlap. */
  step(): Promise<Begun | undefined>;
  /** Of all images, by the backbone: [images, dim]. */
  features(): Promise<{ readonly dim: number; readonly data: Float32Array<ArrayBuffer> }>;
  model(): Promise<SavedFile>;
  checkpoint(): Promise<SavedFile>;
  featuresFile(): Promise<SavedFile>;
  dispose(): Promise<void>;
}

/** The demo's recipe, with what the page asks for. */
function configOf(settings: Settings, arch: string, { name: data }: ImageSet): RunConfig {
  const { batchSize, mocoK } = settings;
  if (mocoK < batchSize)
    throw new SettingError(
      `A queue of ${mocoK} keys has no room for a batch of ${batchSize}: choose more keys, or a smaller batch.`,
      { setting: 'mocoK', value: mocoK },
    );
  const { designers, ...recipe } = presets.emoji.flags;
  // The backend stays the default: it is where the run may go on, not where it began.
  const { backend: _, ...asked } = settings;
  const flags = {
    ...recipe,
    ...(data === 'emoji' && { designers }),
    ...asked,
    data,
    arch,
  };
  return resolveConfig(
    flags,
    { source: { data, split: 'train' } },
    Math.max(1, navigator.hardwareConcurrency - 1),
  );
}

/** @throws UserError for settings that can't work */
export async function createTabSession(
  set: ImageSet,
  settings: Settings,
  arch: string,
  backend: Backend,
): Promise<TabSession> {
  const config = configOf(settings, arch, set);
  const method = createMethod(config, set.images.length);
  const state = method.state();
  const trainer = await createTrainer(backend, method.step(state), state);
  const loader = loaderOf(set, config);
  const { epochs, batchSize } = config;
  const { stepsPerEpoch } = loader;
  const session = new Session<Batch>({
    ...{ trainer, epochs, stepsPerEpoch, batchSize, feeds: method.feeds },
    position: { epoch: 0, step: 0, globalStep: 0 },
    batches: (epoch, fromStep) => loader.epoch(epoch, fromStep),
    rate: (at) => rateAt(config, at, stepsPerEpoch),
    overlapping: backend.capabilities().overlapping,
    clock: () => performance.now(),
    diverged: (loss, { globalStep }) => diverged(`The loss is ${loss} at step ${globalStep + 1}`),
  });
  const [measure] = methodOf(config).metrics?.(config) ?? [];
  const [measured] = Object.keys(measure?.labels ?? {});
  const resultOf = ({ metrics, seconds }: StepInfo): StepResult => ({
    loss: metrics.loss!,
    ...(measured !== undefined && { measured: metrics[measured]! }),
    milliseconds: 1000 * seconds,
  });
  return {
    config,
    steps: stepsPerEpoch * epochs,
    chance: method.chance!.loss,
    ...(measure && { measure }),
    get begun() {
      return session.position.globalStep;
    },
    get broken() {
      return session.broken;
    },
    most: session.most,
    async step() {
      const begun = await session.begin();
      if (!begun) return undefined;
      const result = begun.result.then(resultOf);
      // Whoever waits for an earlier step learns of a failure only then.
      result.catch(() => undefined);
      return { step: session.position.globalStep, batch: begun.batch, result };
    },
    ...outputsOf(set, config, backend, trainer, session),
    async dispose() {
      await session.close();
      await loader.close();
      await trainer.dispose();
      await backend.dispose();
    },
  };
}

/** Views of images in memory, made in this thread. */
function loaderOf(set: ImageSet, config: RunConfig) {
  const { batchSize: batch, imageSize: size, mean, std, seed } = config;
  const reader: ImageReader = { decode: async (index) => set.images[index]! };
  const pool = {
    workers: 0,
    run: (_: ImageDataset, job: Parameters<typeof runJob>[1]) => runJob(reader, job),
    close: async () => {},
  };
  return createLoaderOn(pool, datasetOf(set), { batch, size, views: viewsOf(config), mean, std, seed });
}

/** What is made of the weights of a training. */
function outputsOf(
  set: ImageSet,
  config: RunConfig,
  backend: Backend,
  trainer: Trainer,
  session: Session<Batch>,
): Pick<TabSession, 'features' | 'model' | 'checkpoint' | 'featuresFile'> {
  const { images, sheet } = set;
  let transformed: Float32Array | undefined;
  async function features() {
    session.check();
    transformed ??= evalImages(set, config);
    const batch = Math.min(64, images.length);
    const extractor = await createExtractor(backend, modelConfig(config), await queryParams(trainer), batch);
    try {
      const data = (await extractor.extract(transformed)) as Float32Array<ArrayBuffer>;
      return { dim: extractor.dim, data: finiteFeatures(data) };
    } finally {
      await extractor.dispose();
    }
  }
  return {
    features,
    async model() {
      session.check();
      const bytes = exportEncoder({
        model: modelConfig(config),
        params: await queryParams(trainer),
        preprocess: preprocessOf(config),
        metadata: modelMetadata(config, { withHead: false, withPreprocess: true, version: __MOCO_VERSION__ }),
      });
      return { name: `${config.arch}.onnx`, bytes: bytes as Uint8Array<ArrayBuffer> };
    },
    async checkpoint() {
      await session.settle();
      const at = session.position;
      const info = { config, images: images.length, ...session.record(), moco: __MOCO_VERSION__ };
      const bytes = encodeCheckpoint({ ...at, ...info }, finiteState(await trainer.state()));
      return { name: checkpointName(at), bytes: bytes as Uint8Array<ArrayBuffer> };
    },
    async featuresFile() {
      await session.settle();
      const { dim, data } = await features();
      const bytes = parquetWriteBuffer({
        ...parquetOptions({
          moco: __MOCO_VERSION__,
          // The checkpoint that the page would give now.
          model: checkpointName(session.position),
          encoder: checksum(withoutHead(await queryParams(trainer))),
          data: sourceOf(set),
          unit: true,
        }),
        ...parquetColumns(
          sheet.images.map(({ id }) => id),
          unitRows(data, dim),
          dim,
        ),
      });
      return { name: 'features.parquet', bytes: new Uint8Array(bytes) };
    },
  };
}

/** Where `moco` finds the same images. */
function sourceOf({ name: data }: ImageSet): DatasetSpec {
  const { designers } = presets.emoji.flags;
  return { data, split: 'train', ...(data === 'emoji' && { options: { designers } }) };
}

function datasetOf(set: ImageSet): ImageDataset {
  const { name, images, sheet } = set;
  return {
    name,
    length: images.length,
    label: () => undefined,
    id: (index) => sheet.images[index]!.id,
    decode: async (index) => images[index]!,
    source: sourceOf(set),
  };
}

/** All images without augmentation, [images, 3, S, S]. */
function evalImages({ images }: ImageSet, { imageSize: size, mean, std }: RunConfig): Float32Array {
  const floats = 3 * size * size;
  const out = new Float32Array(images.length * floats);
  images.forEach((image, i) => {
    applyEvalTransform(image, { size, mean, std }, undefined, out, i * floats);
  });
  return out;
}
