/** Everything that a run needs, made and checked before anything is written. */

import {
  type Backend,
  type BackendPlugin,
  CheckpointError,
  counted,
  createTrainer,
  type Encoder,
  SettingError,
  say,
  settingRef,
  type Tensor,
  type Trainer,
  type TrainingStep,
} from '@moco-ts/core';
import {
  createLoader,
  createPool,
  type ImageDataset,
  type Loader,
  type Pixels,
  type Pool,
  type ReadOptions,
  type SkippedImage,
} from '@moco-ts/data';
import {
  type Checkpoint,
  createMethod,
  encoderOf,
  methodOf,
  type Position,
  type RunConfig,
  type RunMethod,
  type StepBatch,
  viewsOf,
} from '@moco-ts/run';
import { type Evaluation, type EvaluationSets, openEvaluation, usualKnn } from './evaluate.ts';
import { checkFinite } from './foreign.ts';
import { type Beginning, startingState } from './init.ts';
import { openBackend } from './open-backend.ts';
import { type Keep, openTogether } from './opened.ts';
import { registerPlugins } from './plugins.ts';
import type { Reporter } from './reporter.ts';
import { runStep } from './run-step.ts';
import { smallGroups } from './small-groups.ts';
import { type Lessons, lessonsByImage, lessonsByView, noLessons, type Waiting } from './taught.ts';
import { openTeacher, type Teacher } from './teacher.ts';
import { alone, together, type World } from './world.ts';

/** Objects that a program passes: the run keeps these, even if others take their names meanwhile. */
export interface OwnParts {
  readonly encoder?: Encoder;
  readonly backend?: BackendPlugin;
}

/** What is open already. */
export interface OpenParts extends OwnParts {
  /** What the run's `init` names. */
  readonly beginning?: Beginning;
}

export interface Prepared {
  readonly dataset: ImageDataset;
  readonly loader: Pick<Loader<Pixels>, 'stepsPerEpoch'>;
  /** The batches of an epoch from a step on, with all that steps are fed. */
  batches(epoch: number, fromStep: number): AsyncIterable<StepBatch>;
  readonly pool: Pool;
  readonly backend: Backend;
  /** The run's own, even if another one takes its name meanwhile. */
  readonly encoder: Encoder;
  readonly method: RunMethod;
  /** Holds the state, of which no other copy is kept. */
  readonly trainer: Trainer;
  readonly position: Position;
  /** R, which share each batch. */
  readonly replicas: number;
  readonly evaluation?: Evaluation;
  dispose(): Promise<void>;
}

/** What a run is to be prepared for. */
interface Preparation {
  readonly config: RunConfig;
  readonly dataset: ImageDataset;
  readonly resume: Checkpoint | undefined;
  readonly reporter: Reporter;
  readonly onSkip: (skipped: SkippedImage) => void;
  readonly sets: EvaluationSets | undefined;
  readonly own: OpenParts;
  readonly stop: Waiting['stop'];
  readonly world: World;
}

/**
 * @throws SettingError for an unknown arch, a batch larger than the set or that replicas can't share, K that is no multiple of the
 * batch, a checkpoint of other shapes, and what opening the data and the backend throws
 */
export async function prepare(
  config: RunConfig,
  dataset: ImageDataset,
  resume: Checkpoint | undefined,
  reporter: Reporter,
  onSkip: (skipped: SkippedImage) => void,
  sets?: EvaluationSets,
  own: OpenParts = {},
  stop: Waiting['stop'] = { requested: false },
  world = alone,
): Promise<Prepared> {
  await registerPlugins();
  const job = { config, dataset, resume, reporter, onSkip, sets, own, stop, world };
  return openTogether(async (keep) => {
    // What fails, fails before or behind what the processes do in one step with each other.
    const { step, state, bytes, ...model } = await together(world, () => openModel(job, keep));
    const trainer = keep(await trainerOf(job, model.backend, step, state));
    const source = await together(world, () => openSource(job, model.backend, bytes, keep));
    return { dataset, trainer, ...model, ...source };
  });
}

/** The method, its step and its state, what is measured on, and the backend. */
async function openModel(job: Preparation, keep: Keep) {
  const { config, dataset, resume, reporter, onSkip, sets, own, world } = job;
  if (config.batchSize > dataset.length)
    throw new SettingError(
      say`${settingRef('batchSize', config.batchSize)} is larger than ${dataset.name}, which has ${counted(dataset.length, 'image')}`,
    );
  const { encoder } = encoderOf(config, own.encoder);
  // How many replicas there are on devices, the backend alone knows; else settings are checked before a device is opened.
  const devices = config.devices === undefined ? undefined : keep(await openDevices(job));
  const replicas = devices?.replicas ?? world.size;
  const method = createMethod(config, dataset.length, encoder, replicas);
  const fresh = method.state();
  const state = resume
    ? fitted(resume, fresh)
    : await startingState(config, fresh, reporter.note, own.beginning?.take());
  const known = new Set(dataset.notes);
  const note = (text: string) => {
    if (!known.has(text)) reporter.warn(text);
    known.add(text);
  };
  const evaluation =
    config.measureEvery > 0 && world.rank === 0
      ? await openEvaluation(
          // What is chosen by retrieval is chosen without a look at labels, nor at the images that kNN compares with.
          config.select === 'retrieval' ? { ...config, labels: false } : config,
          usualKnn,
          { note, onSkip, surveyed: true },
          sets,
          encoder,
        )
      : undefined;
  const backend = devices ?? keep(await openRunBackend(job));
  for (const remark of methodOf(config).remarks?.(config, dataset.length, replicas) ?? [])
    if (remark.kind === 'warning') reporter.warn(remark.text);
    else reporter.note(remark.text);
  tellReplicas(job, replicas);
  const traced = method.step(state);
  const few = smallGroups(traced, config);
  if (few !== undefined) reporter.warn(few);
  const { step, bytes } = runStep(backend, method, config, traced);
  return { step, state, bytes, backend, encoder, method, replicas, ...(evaluation && { evaluation }) };
}

function openRunBackend({ config, own, world }: Preparation): Promise<Backend> {
  const { threads = world.cores, devices } = config;
  return openBackend(own.backend ?? config.backend, {
    deterministic: true,
    ...(threads !== undefined && { threads }),
    ...(devices !== undefined && { devices }),
  });
}

/** @throws SettingError for devices of a backend that computes on one, and of one of several processes */
async function openDevices(job: Preparation): Promise<Backend> {
  const { devices, backend: name } = job.config;
  const several = settingRef('devices', devices);
  if (job.world.size > 1)
    throw new SettingError(
      say`${several} shares batches within one process, and there are ${job.world.size}: leave it out, and start a process for each device`,
      { code: 'setting-conflict' },
    );
  const backend = await openRunBackend(job);
  if (backend.replicas !== undefined) return backend;
  await backend.dispose();
  throw new SettingError(
    say`${name} computes on one device: leave out ${several}, choose ${settingRef('backend', 'xla')}, or start several processes, as mpirun does`,
    { code: 'setting-conflict' },
  );
}

/** Says how a batch is shared, where that is another number of replicas than before. */
function tellReplicas({ config, resume, reporter }: Preparation, replicas: number): void {
  const shared = (count: number) =>
    `${counted(count, 'replica')} of ${counted(config.batchSize / count, 'image')}`;
  const before = resume?.info.replicas ?? 1;
  if (resume && before !== replicas)
    reporter.note(
      `${shared(replicas)} share each batch from here on; it was ${counted(before, 'replica')} before.`,
    );
  else if (replicas > 1) reporter.note(`${shared(replicas)} share each batch.`);
}

function trainerOf(
  { config: { precision }, world: { communicator } }: Preparation,
  backend: Backend,
  step: TrainingStep,
  state: Readonly<Record<string, Tensor>>,
): Promise<Trainer> {
  return createTrainer(backend, step, state, { precision, ...(communicator && { communicator }) });
}

/** What makes the batches, and where they begin. */
async function openSource(job: Preparation, backend: Backend, bytes: boolean, keep: Keep) {
  const { config, dataset, resume, reporter, onSkip, stop, world } = job;
  const pool = keep(createPool(config.workers, { isolate: config.isolate ?? false }));
  const { imageSize: size, mean, std, batchSize: batch, seed, maxBad } = config;
  const views = viewsOf(config);
  const teacher = await openTeacher(config, backend);
  const read = { pool, onSkip, ...(maxBad !== undefined && { maxBad }) };
  const waiting = { stop, note: reporter.note };
  const lessons = teacher ? await lessonsOf(keep(teacher), config, dataset, read, waiting) : noLessons;
  const loader = keep(
    createLoader<Pixels>(dataset, {
      batch,
      part: { index: world.rank, count: world.size },
      size,
      views: [...views, ...lessons.views],
      mean,
      std,
      bytes,
      seed,
      workers: config.workers,
      ...read,
    }),
  );
  const position = startOf(config, dataset, resume, loader, reporter);
  const batches: Prepared['batches'] = (epoch, fromStep) => lessons.of(loader.epoch(epoch, fromStep));
  return { loader, batches, pool, position };
}

function lessonsOf(
  teacher: Teacher,
  config: RunConfig,
  dataset: ImageDataset,
  read: ReadOptions,
  waiting: Waiting,
): Lessons | Promise<Lessons> {
  if (!config.cacheTeacher) return lessonsByView(teacher, viewsOf(config));
  waiting.note(
    `The teacher sees each plain image once, not its views (${counted(dataset.length, 'image')}, before the first step): the student learns to give views the features of the image.`,
  );
  return lessonsByImage(teacher, dataset, config, read, waiting);
}

/** The checkpoint's tensors, which must be those of a fresh state. */
function fitted(
  { path, tensors }: Checkpoint,
  fresh: Readonly<Record<string, Tensor>>,
): Record<string, Tensor> {
  const other = (fault: string) =>
    new CheckpointError(`${fault}: it is of another model`, { code: 'checkpoint-mismatch' });
  for (const [name, { shape }] of Object.entries(fresh)) {
    const tensor = tensors[name];
    if (!tensor) throw other(`${path} lacks "${name}"`);
    if (tensor.shape.join() !== shape.join())
      throw other(`${path}: "${name}" is [${tensor.shape}], not [${shape}]`);
  }
  checkFinite(path, tensors);
  const strange = Object.keys(tensors).find((name) => !(name in fresh));
  if (strange !== undefined) throw other(`${path} holds "${strange}"`);
  return tensors;
}

function startOf(
  config: RunConfig,
  dataset: ImageDataset,
  resume: Checkpoint | undefined,
  { stepsPerEpoch }: Loader<Pixels>,
  reporter: Reporter,
): Position {
  if (!resume) return { epoch: config.startEpoch, step: 0, globalStep: 0 };
  const { epoch, step, globalStep, config: saved, images } = resume.info;
  const { path, tensors } = resume;
  methodOf(config).resumeCheck?.(config, { path, step, config: saved, tensors });
  if (images !== dataset.length)
    reporter.warn(
      `${dataset.name} has ${counted(dataset.length, 'image')}, had ${images} when the run was saved: it goes on, but not as it would have`,
    );
  if (step >= stepsPerEpoch) return { epoch: epoch + 1, step: 0, globalStep };
  return { epoch, step, globalStep };
}
