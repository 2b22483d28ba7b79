/** One training: what `moco pretrain` does, on images in memory. */
import {
  type Backend,
  createExtractor,
  createTrainer,
  type Params,
  SettingError,
  type Trainer,
  under,
  unitRows,
} from '@moco-ts/core';
import {
  applyClean,
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
  createMeters,
  createMethod,
  encodeCheckpoint,
  meterStates,
  modelConfig,
  modelMetadata,
  type Position,
  parquetColumns,
  parquetOptions,
  preprocessOf,
  presets,
  type RunConfig,
  rateAt,
  resolveConfig,
  viewsOf,
} from '@moco-ts/run';
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { Settings } from '../messages.ts';
import { diverged, finiteFeatures, finiteState } from './finite.ts';
import type { ImageSet } from './images.ts';

export interface StepResult {
  readonly loss: number;
  readonly accuracy: number;
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

export interface Session {
  readonly config: RunConfig;
  readonly steps: number;
  /** log(K + 1) */
  readonly chance: number;
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

type Metrics = Awaited<ReturnType<Trainer['step']>>;

/** Losses that a checkpoint carries along. */
const HISTORY = 20;

/** The demo's recipe, with what the page asks for. */
function configOf(settings: Settings, arch: string, { name: data }: ImageSet): RunConfig {
  const { batchSize, queue: mocoK, epochs, lr, seed } = settings;
  if (mocoK < batchSize)
    throw new SettingError(
      `A queue of ${mocoK} keys has no room for a batch of ${batchSize}: choose more keys, or a smaller batch.`,
      { setting: 'mocoK', value: mocoK },
    );
  const { designers, ...recipe } = presets.emoji.flags;
  const flags = {
    ...recipe,
    ...(data === 'emoji' && { designers }),
    data,
    arch,
    batchSize,
    mocoK,
    epochs,
    lr,
    seed,
  };
  // The backend stays the default: it is where the run may go on, not where it began.
  return resolveConfig(
    flags,
    { source: { data, split: 'train' } },
    Math.max(1, navigator.hardwareConcurrency - 1),
  );
}

/** @throws UserError for settings that can't work */
export async function createSession(
  set: ImageSet,
  settings: Settings,
  arch: string,
  backend: Backend,
): Promise<Session> {
  const config = configOf(settings, arch, set);
  const { batchSize: batch, imageSize: size, mean, std, seed, epochs } = config;
  const { images } = set;
  const method = createMethod(config, images.length);
  const state = method.state();
  const trainer = await createTrainer(backend, method.step(state), state);
  const reader: ImageReader = { decode: async (index) => images[index]! };
  const pool = {
    workers: 0,
    run: (_: ImageDataset, job: Parameters<typeof runJob>[1]) => runJob(reader, job),
    close: async () => {},
  };
  const loader = createLoaderOn(pool, datasetOf(set), {
    batch,
    size,
    views: viewsOf(config),
    mean,
    std,
    seed,
  });
  const { stepsPerEpoch } = loader;
  const steps = stepsPerEpoch * epochs;

  let losses: number[] = [];
  let meters = createMeters();
  let begun = 0;
  const position = (): Position => ({
    epoch: Math.floor(begun / stepsPerEpoch),
    step: begun % stepsPerEpoch,
    globalStep: begun,
  });
  const batches = allBatches(epochs, (epoch) => loader.epoch(epoch));
  /** Of a step that failed and left the state as it was. */
  let again: Batch | undefined;
  let broken: Error | undefined;
  const check = () => {
    if (broken) throw broken;
  };
  const params = async (): Promise<Params> =>
    under('q', await trainer.state(trainer.stateNames.filter((name) => name.startsWith('q.'))));
  /** Ends when all steps so far are in the losses and meters. */
  let booked: Promise<unknown> = Promise.resolve();
  let settled = 0;
  let clean: Float32Array | undefined;

  async function features() {
    check();
    clean ??= cleanImages(set, config);
    const extractor = await createExtractor(
      backend,
      modelConfig(config),
      await params(),
      Math.min(64, images.length),
    );
    try {
      const data = (await extractor.extract(clean)) as Float32Array<ArrayBuffer>;
      return { dim: extractor.dim, data: finiteFeatures(data) };
    } finally {
      await extractor.dispose();
    }
  }

  function book({ step, globalStep }: Position, metrics: Metrics, asked: number, waited: number): StepResult {
    check();
    const value = (name: string) => metrics[name]!.data[0]!;
    const loss = value('loss');
    if (!Number.isFinite(loss)) broken = diverged(`The loss is ${loss} at step ${globalStep + 1}`);
    check();
    const now = performance.now();
    const milliseconds = now - Math.max(asked, settled);
    settled = now;
    if (step === 0) meters = createMeters();
    for (const name of ['loss', 'acc1', 'acc5', 'featureStd'] as const) meters[name].add(value(name));
    meters.time.add(milliseconds / 1000);
    meters.data.add(waited / 1000);
    losses = [...losses.slice(1 - HISTORY), loss];
    return { loss, accuracy: value('acc1'), milliseconds };
  }

  /** A step that failed has left the state as it was; but one that began behind it had the state of another training. */
  function takeBack(globalStep: number, batch: Batch, error: Error): never {
    if (begun === globalStep + 1) [begun, again] = [globalStep, batch];
    else broken ??= error;
    throw error;
  }

  return {
    config,
    steps,
    chance: method.chance!.loss,
    get begun() {
      return begun;
    },
    get broken() {
      return broken !== undefined;
    },
    most: backend.capabilities().overlapping ? 1 : 0,
    async step() {
      check();
      const at = position();
      const asked = performance.now();
      const batch = again ?? (await batches.next()).value;
      if (!batch) return undefined;
      again = undefined;
      const waited = performance.now() - asked;
      const rate = rateAt(config, at.epoch, at.step, stepsPerEpoch);
      const feeds = method.feeds(batch, { ...at, progress: begun / steps });
      const running = trainer.step(feeds, rate, at.globalStep);
      // Whoever waits for an earlier step learns of a failure only then.
      running.catch(() => undefined);
      const result = booked
        .then(() => running)
        .then(
          (metrics) => book(at, metrics, asked, waited),
          (error: Error) => takeBack(at.globalStep, batch, error),
        );
      booked = result.catch(() => undefined);
      begun++;
      return { step: begun, batch, result };
    },
    features,
    async model() {
      check();
      const bytes = exportEncoder({
        model: modelConfig(config),
        params: await params(),
        preprocess: preprocessOf(config),
        metadata: modelMetadata(config, { withHead: false, withPreprocess: true, version: __MOCO_VERSION__ }),
      });
      return { name: `${config.arch}.onnx`, bytes: bytes as Uint8Array<ArrayBuffer> };
    },
    async checkpoint() {
      await booked;
      check();
      const at = position();
      const inside = at.step > 0 ? { meters: meterStates(meters) } : {};
      const info = { ...at, config, images: images.length, losses, ...inside, moco: __MOCO_VERSION__ };
      const bytes = encodeCheckpoint(info, finiteState(await trainer.state()));
      return { name: checkpointName(at), bytes: bytes as Uint8Array<ArrayBuffer> };
    },
    async featuresFile() {
      await booked;
      const { dim, data } = await features();
      const backbone = Object.entries(await params()).filter(([name]) => !name.startsWith('fc.'));
      const bytes = parquetWriteBuffer({
        ...parquetOptions({
          moco: __MOCO_VERSION__,
          // The checkpoint that the page would give now.
          model: checkpointName(position()),
          encoder: checksum(Object.fromEntries(backbone)),
          data: sourceOf(set),
          unit: true,
        }),
        ...parquetColumns(
          set.sheet.images.map(({ id }) => id),
          unitRows(data, dim),
          dim,
        ),
      });
      return { name: 'features.parquet', bytes: new Uint8Array(bytes) };
    },
    async dispose() {
      await booked;
      await batches.return(undefined);
      await loader.close();
      await trainer.dispose();
      await backend.dispose();
    },
  };
}

async function* allBatches(epochs: number, epoch: (number: number) => AsyncIterable<Batch>) {
  for (let number = 0; number < epochs; number++) yield* epoch(number);
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
function cleanImages({ images }: ImageSet, { imageSize: size, mean, std }: RunConfig): Float32Array {
  const floats = 3 * size * size;
  const out = new Float32Array(images.length * floats);
  images.forEach((image, i) => {
    applyClean(image, { size, mean, std }, undefined, out, i * floats);
  });
  return out;
}
