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
import { openTogether } from './opened.ts';
import { registerPlugins } from './plugins.ts';
import type { Reporter } from './reporter.ts';
import { runStep } from './run-step.ts';
import { smallGroups } from './small-groups.ts';
import { type Lessons, lessonsByImage, lessonsByView, noLessons, type Waiting } from './taught.ts';
import { openTeacher, type Teacher } from './teacher.ts';

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
  readonly evaluation?: Evaluation;
  dispose(): Promise<void>;
}

/**
 * @throws SettingError for an unknown arch, a batch larger than the set, K that is no multiple of the batch, a checkpoint
 * of other shapes, and what opening the data and the backend throws
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
): Promise<Prepared> {
  await registerPlugins();
  if (config.batchSize > dataset.length)
    throw new SettingError(
      say`${settingRef('batchSize', config.batchSize)} is larger than ${dataset.name}, which has ${counted(dataset.length, 'image')}`,
    );
  const { encoder } = encoderOf(config, own.encoder);
  const method = createMethod(config, dataset.length, encoder);
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
    config.measureEvery > 0
      ? await openEvaluation(
          // What is chosen by retrieval is chosen without a look at labels, nor at the images that kNN compares with.
          config.select === 'retrieval' ? { ...config, labels: false } : config,
          usualKnn,
          { note, onSkip, surveyed: true },
          sets,
          encoder,
        )
      : undefined;
  return openTogether(async (keep) => {
    const backend = keep(
      await openBackend(own.backend ?? config.backend, {
        deterministic: true,
        ...(config.threads !== undefined && { threads: config.threads }),
      }),
    );
    for (const remark of methodOf(config).remarks?.(config, dataset.length) ?? [])
      if (remark.kind === 'warning') reporter.warn(remark.text);
      else reporter.note(remark.text);
    const traced = method.step(state);
    const few = smallGroups(traced, config);
    if (few !== undefined) reporter.warn(few);
    const { step, bytes } = runStep(backend, method, config, traced);
    const { precision } = config;
    const trainer = keep(await createTrainer(backend, step, state, { precision }));
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
    const parts = { dataset, loader, batches, pool, backend, encoder, method, trainer, position };
    return { ...parts, ...(evaluation && { evaluation }) };
  });
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
