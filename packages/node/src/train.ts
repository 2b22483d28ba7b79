/** A pretraining run: its folder, its session, and what it saves, logs and measures. */

import { join } from 'node:path';
import { BackendError, normaliseBytes, type Params, say, settingRef, type Trainer } from '@moco-ts/core';
import type { ImageDataset, Pixels } from '@moco-ts/data';
import {
  type Checkpoint,
  durationText,
  isTimed,
  type LogSinkPlugin,
  lastEpoch,
  logSinks,
  type Moment,
  queryParams,
  type RunConfig,
  rateAt,
  runSession,
  Session,
  type SessionOptions,
  type StepBatch,
} from '@moco-ts/run';
import { agreementOn, sharedSkips } from './agreement.ts';
import type { Best } from './best-file.ts';
import { checkCollapse } from './collapse.ts';
import { courseOf, type Run, startTiming, type Timing } from './course.ts';
import { slowData } from './data-time.ts';
import type { EvaluationSets, Measures } from './evaluate.ts';
import { createEvaluator, tellEarly } from './evaluator.ts';
import { removePartial, writeAtomic } from './files.ts';
import type { Beginning } from './init.ts';
import { createKeeper, type Keeper, noKeeper } from './keeper.ts';
import { type Lock, lockFolder } from './lock.ts';
import { noLog, openLog, type RunLog, usualLogs } from './log.ts';
import { writeEpoch, writeStep } from './log-lines.ts';
import { registerPlugins } from './plugins.ts';
import { type OwnParts, type Prepared, prepare } from './prepare.ts';
import { aboutRun, commitField, expectAsPlanned, tellOfLeftOut } from './record.ts';
import type { Reporter } from './reporter.ts';
import { noSelection, openSelection, type Selection } from './selection.ts';
import { skipList } from './skipped.ts';
import { describeMachine } from './versions.ts';
import { watchWarmUp } from './warm-up.ts';
import { alone, ofRankZero, type World } from './world.ts';

export interface TrainJob {
  readonly config: RunConfig;
  readonly dataset: ImageDataset;
  /** The run folder. */
  readonly folder: string;
  readonly resume?: Checkpoint;
  readonly reporter: Reporter;
  /** Set from outside to stop after the current step. */
  readonly stop: { requested: boolean };
  /** When the command began, what it still has to do behind the training, and the clock. Default: it begins with this. */
  readonly timing?: Timing;
  /** Called once the run folder is there and no other process's. */
  readonly begun?: () => void | Promise<void>;
  readonly own?: OwnParts;
  /** What a run from given weights begins from, where it is read already. */
  readonly beginning?: Beginning;
  /** Where the log goes beside `log.jsonl`: names of sinks, each alone or as NAME:TARGET, or sinks. Default TensorBoard. */
  readonly log?: readonly (string | LogSinkPlugin)[] | undefined;
  /** The folder's lock, where the caller has it already. */
  readonly lock?: Lock;
  /** What to measure on, where it is not opened by the data's name. */
  readonly evaluateOn?: EvaluationSets;
  /** The processes that share the run. Default this one alone. */
  readonly world?: World | undefined;
  /** Of a run that chooses: what a stop leaves is measured too, so that it can be what is chosen. */
  readonly measureStopped?: boolean;
}

export interface TrainResult {
  /** `early`: patience came to its end. */
  readonly outcome: 'done' | 'stopped' | 'early';
  /** The last checkpoint. */
  readonly checkpoint: string;
  /** What a run with `select` chose. */
  readonly best?: Best;
  /** The query encoder's parameters, those of the last checkpoint. */
  readonly params: Params;
  /** The last evaluation. */
  readonly measures?: Measures;
  /** Why the last evaluation measured nothing. */
  readonly unmeasured?: string;
  readonly skipped: number;
  readonly seconds: number;
}

/**
 * Trains until the last epoch, the end of its time, `maxSteps` or a stop, and saves.
 * @throws UserError before anything is written for settings that can't work; later when the disk refuses, with the last
 * checkpoint intact; DivergedError for a loss, or a state to be saved, that is not finite
 */
export async function train(job: TrainJob): Promise<TrainResult> {
  const { config, dataset, folder, resume, reporter, timing = startTiming(), world = alone } = job;
  await registerPlugins();
  const sinks = logSinks(job.log ?? usualLogs);
  // Rank 0's is the folder.
  const skips = skipList(reporter.warn, world.rank === 0 ? folder : undefined);
  const open = { ...job.own, ...(job.beginning && { beginning: job.beginning }) };
  const given = [job.evaluateOn, open, job.stop, world] as const;
  const shared = sharedSkips(world, dataset, config.maxBad, skips.onSkip);
  const prepared = await prepare(config, dataset, resume, reporter, shared.onSkip, ...given);
  let lock: Lock | undefined;
  let log: RunLog | undefined;
  let keeper: Keeper | undefined;
  try {
    const { stepsPerEpoch } = prepared.loader;
    const course = await courseOf(config, prepared.position, stepsPerEpoch, timing, resume, world);
    const run = { ...prepared, course, clock: timing.clock, skips: shared };
    if (world.rank > 0) {
      await job.begun?.();
      const own = await loop(job, run, noLog, noKeeper, noSelection);
      return { ...own, ...(await ofRankZero(world, absent)) };
    }
    if (!job.lock) lock = await lockFolder(folder, reporter.note);
    await expectAsPlanned(folder, resume);
    await removePartial(folder);
    const about = aboutRun(prepared);
    const named = { config, log: sinks.map(({ plugin }) => plugin.name) };
    if (resume) await tellOfLeftOut(folder, named.log, reporter);
    const record = { ...named, ...about, machine: describeMachine() };
    await writeAtomic(join(folder, 'config.json'), `${JSON.stringify(record, null, 2)}\n`);
    const { epoch, step, globalStep } = prepared.position;
    log = await openLog({ folder, settings: config, about, step: globalStep, warn: reporter.warn }, sinks);
    const { stateBytes } = prepared.trainer.memory;
    log.write(resume ? 'resume' : 'start', { epoch, step, globalStep, stateBytes });
    await job.begun?.();
    const { backend, encoder } = prepared;
    const from = resume && { path: resume.path, globalStep };
    keeper = createKeeper({ folder, config, backend, encoder, log, from, lock: (job.lock ?? lock)! });
    const selection = await openSelection(config, folder, prepared.position);
    const own = await loop(job, run, log, keeper, selection);
    const result = { ...own, skipped: skips.count };
    log.ended(result.outcome === 'early' ? 'done' : result.outcome);
    const { params: _, ...told } = result;
    await ofRankZero(world, async () => told);
    return result;
  } finally {
    try {
      reporter.close();
      await log?.close();
      await keeper?.dispose();
      await prepared.dispose();
    } finally {
      lock?.release();
    }
  }
}

/** On a rank that has nothing to tell. */
const absent = (): Promise<Omit<TrainResult, 'params'>> => Promise.reject(new Error('rank 0 tells'));

async function loop(
  job: TrainJob,
  prepared: Run,
  log: RunLog,
  keeper: Keeper,
  selection: Selection,
): Promise<Omit<TrainResult, 'skipped'>> {
  const { config, folder, resume, reporter, stop, world = alone } = job;
  const { dataset, method, trainer, course, clock, replicas } = prepared;
  const started = clock();
  const commit = commitField();
  const batches = lastImages(prepared, config);
  const session = sessionOf(job, prepared, batches.feeds, log, keeper);
  const save = async () => {
    const own = { ...commit, ...(replicas > 1 && { replicas }) };
    const stored = { config, images: dataset.length, ...session.record(), ...own };
    // An evaluation may follow, which needs the memory of the images.
    await course.between('save', () =>
      keeper.save({ ...session.position, ...stored }, () => trainer.state(), batches.take()),
    );
  };
  const evaluation = createEvaluator(prepared, config, log, reporter, selection);
  if (resume && course.time && session.ended)
    reporter.warn(
      say`the time of this run is spent; to go on, give it more than ${settingRef('time', durationText(course.time.total))}`,
    );
  if (resume && prepared.evaluation) await evaluation.makeUp(resume, folder, session);

  const { saveEverySteps, saveEvery, maxSteps } = config;
  let waited = false;
  const ending = {
    get requested() {
      return stop.requested || selection.over;
    },
  };
  const isOver = await runSession(session, {
    stop: ending,
    maxSteps,
    saveEverySteps,
    save,
    ...agreementOn(world, stop),
    onEpoch: async (epochs, progress) => {
      reporter.epoch(progress);
      await prepared.skips.share();
      writeEpoch(log, progress, isTimed(config));
      checkCollapse(config, method.chance, progress.meters, (text) => {
        reporter.warn(text);
        log.write('alarm', { epoch: progress.epoch, message: text });
      });
      const slow = waited ? undefined : slowData(progress.meters, config, dataset);
      if (slow !== undefined) reporter.warn(slow);
      waited ||= slow !== undefined;
      const due = saveEverySteps !== undefined && progress.globalStep % saveEverySteps === 0;
      const isDue = evaluation.isDue(epochs, progress.done);
      const isSaved = due || epochs % saveEvery === 0 || epochs === lastEpoch(config);
      // What there is no time for now follows when the training is over.
      if ((isSaved || (isDue && selection.active)) && course.hasTimeFor('save')) await save();
      if (isDue && course.hasTimeFor('evaluation'))
        await evaluation.measure(session.position, progress.meters.loss.average);
    },
  });
  await prepared.skips.share();
  const early = !isOver && selection.over && !stop.requested;
  if (early) tellEarly(selection.best!, log, reporter);
  await save();
  if (isOver ? isTimed(config) : job.measureStopped && selection.active)
    await evaluation.atEnd(session.position);
  await keeper.finish();
  return {
    outcome: isOver ? 'done' : early ? 'early' : 'stopped',
    checkpoint: keeper.path ?? '',
    ...(selection.best && { best: selection.best }),
    params: await queryParams(trainer),
    ...evaluation.last,
    seconds: (clock() - started) / 1000,
  };
}

/** What to feed the steps, and the images of the last step, normalised, to try a state on. */
function lastImages({ method }: Prepared, config: RunConfig) {
  let images: Pixels | undefined;
  return {
    feeds: (batch: StepBatch, at: Moment) => {
      images = batch.views[0];
      return method.feeds(batch, at);
    },
    take: () => {
      const taken = images;
      images = undefined;
      return taken instanceof Uint8Array ? normaliseBytes(taken, config.imageSize ** 2, config) : taken;
    },
  };
}

function sessionOf(
  { config, resume, reporter, world = alone }: TrainJob,
  { loader, batches, trainer, backend, method, position, course, clock }: Run,
  feeds: SessionOptions<StepBatch>['feeds'],
  log: RunLog,
  keeper: Keeper,
): Session<StepBatch> {
  const { batchSize, printFreq } = config;
  const { stepsPerEpoch } = loader;
  const timed = isTimed(config);
  const explain = watchWarmUp(method.warmUp, reporter.note);
  const step: Trainer['step'] = (...args) =>
    trainer.step(...args).catch((error: unknown) => {
      if (!(error instanceof BackendError)) throw error;
      throw new BackendError(say`${error.text}; ${keeper.kept}`, error);
    });
  return new Session<StepBatch>({
    trainer: { step },
    ...{ epochs: lastEpoch(config), stepsPerEpoch, course, batchSize, feeds },
    position,
    record: resume?.info,
    batches,
    rate: (at) => rateAt(config, at, stepsPerEpoch),
    // What processes do together they do in one order.
    overlapping: world.size === 1 && backend.capabilities().overlapping,
    clock,
    diverged: (loss, at) => keeper.refuse(loss, at),
    onStep: async (info) => {
      await keeper.passed(info.at.globalStep);
      explain(info.at.globalStep, info.metrics.loss!);
      // Before anything else, so that a loop that ends here ends the run after this very step.
      await reporter.step(info.progress);
      const { step, globalStep, progress } = info.at;
      if (step % printFreq === 0) writeStep(log, info, timed);
      else if (timed) log.write('progress', { globalStep, progress });
    },
  });
}
