/** The training loop of `moco pretrain`. */

import { basename, dirname, join, resolve } from 'node:path';
import { BackendError, type Params, say, type Tensor, type Trainer, UserError, under } from '@moco-ts/core';
import type { Batch, ImageDataset } from '@moco-ts/data';
import {
  type Checkpoint,
  createMeters,
  type Meters,
  meterStates,
  type RunConfig,
  rateAt,
} from '@moco-ts/run';
import { listCheckpoints } from './checkpoint.ts';
import { checkCollapse } from './collapse.ts';
import { currentCommit } from './commit.ts';
import { type EvaluationSets, type Measures, measuredOr, measureRows } from './evaluate.ts';
import { removePartial, writeAtomic } from './files.ts';
import { createKeeper, type Keeper } from './keeper.ts';
import { type Lock, lockFolder } from './lock.ts';
import { isEvaluated, openLog, type RunLog } from './log.ts';
import { type OwnParts, type Prepared, prepare } from './prepare.ts';
import type { Progress, Reporter } from './reporter.ts';
import { skipList } from './skipped.ts';
import { describeMachine, version } from './versions.ts';

export interface TrainJob {
  readonly config: RunConfig;
  readonly dataset: ImageDataset;
  /** The run folder. */
  readonly folder: string;
  readonly resume?: Checkpoint;
  readonly reporter: Reporter;
  /** Set from outside to stop after the step under way. */
  readonly stop: { requested: boolean };
  /** Called once the run folder is there and no other process's. */
  readonly begun?: () => void;
  readonly own?: OwnParts;
  /** The folder's lock, where the caller has it already. */
  readonly lock?: Lock;
  /** What to measure on, where it is not opened by the data's name. */
  readonly evaluateOn?: EvaluationSets;
}

export interface TrainResult {
  readonly outcome: 'done' | 'stopped';
  /** The last checkpoint. */
  readonly checkpoint: string;
  /** The query encoder's parameters. */
  readonly params: Params;
  /** The last evaluation. */
  readonly measures?: Measures;
  /** Why the last evaluation measured nothing. */
  readonly unmeasured?: string;
  readonly skipped: number;
  readonly seconds: number;
}

/** A step that was begun. */
interface Issued {
  readonly at: { readonly epoch: number; readonly step: number; readonly globalStep: number };
  readonly lr: number;
  readonly metrics: Promise<Record<string, Tensor>>;
  /** When its batch was asked for. */
  readonly asked: number;
  /** Milliseconds until the batch was there. */
  readonly waited: number;
}

/** What a step tells. */
const metricNames = ['loss', 'acc1', 'acc5', 'featureStd'] as const;
/** Losses that a checkpoint carries along. */
const HISTORY = 20;

/**
 * Trains until the last epoch, `maxSteps` or a stop, and saves.
 * @throws UserError before anything is written for settings that can't work; later when the disk refuses, with the last
 * checkpoint intact; DivergedError for a loss, or a state to be saved, that is not finite
 */
export async function train(job: TrainJob): Promise<TrainResult> {
  const { config, dataset, folder, resume, reporter } = job;
  const skips = skipList(reporter.warn, folder);
  const prepared = await prepare(config, dataset, resume, reporter, skips.onSkip, job.evaluateOn, job.own);
  let lock: Lock | undefined;
  let log: RunLog | undefined;
  let keeper: Keeper | undefined;
  try {
    if (!job.lock) lock = await lockFolder(folder, reporter.note);
    await expectAsPlanned(folder, resume);
    await removePartial(folder);
    await writeAtomic(join(folder, 'config.json'), `${JSON.stringify(record(prepared, config), null, 2)}\n`);
    log = openLog(folder, prepared.position.globalStep);
    const { epoch, step, globalStep } = prepared.position;
    const { stateBytes } = prepared.trainer.memory;
    log.write(resume ? 'resume' : 'start', { epoch, step, globalStep, stateBytes });
    job.begun?.();
    const { backend, encoder } = prepared;
    const from = resume && { path: resume.path, globalStep };
    keeper = createKeeper({ folder, config, backend, encoder, log, from, lock: (job.lock ?? lock)! });
    return { ...(await loop(job, prepared, log, keeper)), skipped: skips.count };
  } finally {
    try {
      reporter.close();
      log?.close();
      await keeper?.dispose();
      await prepared.dispose();
    } finally {
      lock?.release();
    }
  }
}

/** Until the lock is taken, another process may have gone on with the run. */
async function expectAsPlanned(folder: string, resume: Checkpoint | undefined): Promise<void> {
  const [newest] = await listCheckpoints(folder);
  const here = resume !== undefined && resolve(dirname(resume.path)) === resolve(folder);
  if (newest !== (here ? basename(resume.path) : undefined))
    throw new UserError(
      `${folder} was written by another process meanwhile: the same command goes on with it`,
      { code: 'file-locked' },
    );
}

function record({ dataset, backend }: Prepared, config: RunConfig) {
  const { name, length, source, classes } = dataset;
  return {
    config,
    dataset: { name, images: length, source, ...(classes && { classes: classes.length }) },
    backend: { name: backend.name, device: backend.device, lowering: backend.capabilities().lowering },
    versions: { moco: version, node: process.version },
    machine: describeMachine(),
    ...commitField(),
  };
}

function commitField(): { commit?: string } {
  const commit = currentCommit();
  return commit === undefined ? {} : { commit };
}

async function loop(
  { config, folder, resume, reporter, stop }: TrainJob,
  { dataset, loader, pool, backend, evaluation, method, position, trainer }: Prepared,
  log: RunLog,
  keeper: Keeper,
): Promise<Omit<TrainResult, 'skipped'>> {
  const { stepsPerEpoch } = loader;
  const started = performance.now();
  const commit = commitField();
  let { epoch, step, globalStep } = position;
  let losses = [...(resume?.info.losses ?? [])];
  let measures: Measures | undefined;
  let unmeasured: string | undefined;
  let meters = createMeters(step > 0 ? resume?.info.meters : undefined);
  const pace = createPace();
  const mayGoOn = () => !stop.requested && globalStep < (config.maxSteps ?? Number.POSITIVE_INFINITY);

  /** Of the last step. */
  let images: Float32Array | undefined;
  const save = async () => {
    const inside = step > 0 ? { meters: meterStates(meters) } : {};
    const info = { epoch, step, globalStep, config, images: dataset.length, losses, ...inside, ...commit };
    await keeper.save(info, () => trainer.state(), images);
    // An evaluation may follow, which wants the memory.
    images = undefined;
  };
  const progress = (lr: number, step: number, globalStep: number): Progress => {
    const left = (config.epochs - epoch) * stepsPerEpoch - step;
    const { epochs, batchSize } = config;
    const seconds = pace.average();
    return {
      epoch,
      epochs,
      step,
      steps: stepsPerEpoch,
      globalStep,
      meters,
      learningRate: lr,
      rate: batchSize / seconds,
      etaSeconds: left * seconds,
    };
  };

  /** Steps that are under way when the next one begins: the device is not kept waiting for what is made of metrics. */
  const most = backend.capabilities().overlapping ? 1 : 0;
  const underWay: Issued[] = [];
  let settled = 0;
  const settle = async (remaining: number) => {
    while (underWay.length > remaining) await book(underWay.shift()!);
  };
  const book = async ({ at, lr, metrics: promised, asked, waited }: Issued) => {
    const metrics = await promised.catch((error: unknown) => {
      if (!(error instanceof BackendError)) throw error;
      throw new BackendError(say`${error.text}; ${keeper.kept}`, error);
    });
    const now = performance.now();
    const seconds = (now - Math.max(asked, settled)) / 1000;
    settled = now;
    const values = scalars(metrics);
    if (!Number.isFinite(values.loss!)) throw await keeper.refuse(values.loss!, at);
    await keeper.passed(at.globalStep);
    for (const name of metricNames) meters[name].add(values[name]!);
    meters.time.add(seconds);
    meters.data.add(waited / 1000);
    pace.add(seconds);
    losses = [...losses.slice(1 - HISTORY), values.loss!];
    const told = progress(lr, at.step + 1, at.globalStep + 1);
    // Before anything else, so that a loop that ends here ends the run after this very step.
    await reporter.step(told);
    if (at.step % config.printFreq !== 0) return;
    const pacing = { time: rounded(seconds), data: rounded(waited / 1000), rate: rounded(told.rate) };
    // No spreads: see createTrainer.
    const charted = Object.assign(values, { lr });
    log.write('step', Object.assign({}, at, charted, pacing), { step: at.globalStep, values: charted });
  };

  const evaluateIfDue = async () => {
    if (!evaluation || (epoch % config.knnEvery !== 0 && epoch !== config.epochs)) return;
    const params = await queryParams(trainer);
    const measured = await measuredOr(() => evaluation.run(backend, params, pool));
    if (typeof measured === 'string') {
      [measures, unmeasured] = [undefined, measured];
      log.write('unmeasured', { epoch, message: measured });
      reporter.warn(`epoch ${epoch} could not be measured: ${measured}`);
      return;
    }
    const { timing, ...found } = measured;
    [measures, unmeasured] = [found, undefined];
    const values = found as Readonly<Record<string, number>>;
    log.write('evaluation', { epoch, ...values, ...timing }, { step: globalStep, values });
    reporter.note(`Epoch ${epoch}: ${describe(found)}`);
    reporter.measured?.(epoch, found);
  };
  // A kill may have come between a checkpoint and its evaluation; of a run that has ended the result has the last one.
  const ended = epoch === config.epochs;
  if (resume && epoch > 0 && step === 0 && (ended || !(await isEvaluated(folder, epoch))))
    await evaluateIfDue();

  while (epoch < config.epochs && mayGoOn()) {
    const batches = loader.epoch(epoch, step)[Symbol.asyncIterator]();
    // Always one batch is asked for ahead of the step, so that data and compute go side by side.
    let pending = ask(batches);
    let lr = 0;
    while (step < stepsPerEpoch && mayGoOn()) {
      const asked = performance.now();
      const { value: batch } = await pending;
      const waited = performance.now() - asked;
      if (step + 1 < stepsPerEpoch) pending = ask(batches);
      lr = rateAt(config, epoch, step, stepsPerEpoch);
      const done = (epoch + step / stepsPerEpoch) / config.epochs;
      images = (batch as Batch).views[0];
      const feeds = method.feeds(batch as Batch, { epoch, step, globalStep, progress: done });
      const metrics = trainer.step(feeds, lr, globalStep);
      // Whoever waits for it meets the failure.
      metrics.catch(() => undefined);
      underWay.push({ at: { epoch, step, globalStep }, lr, metrics, asked, waited });
      globalStep++;
      step++;
      await settle(most);
      if (step < stepsPerEpoch && config.saveEverySteps && globalStep % config.saveEverySteps === 0) {
        await settle(0);
        await save();
      }
    }
    await settle(0);
    if (step < stepsPerEpoch) {
      await batches.return?.();
      break;
    }
    reporter.epoch(progress(lr, step, globalStep));
    writeEpoch(log, epoch, globalStep, meters, lr);
    checkCollapse(config, method.chance, meters, (text) => {
      reporter.warn(text);
      log.write('alarm', { epoch, message: text });
    });
    epoch++;
    step = 0;
    meters = createMeters();
    const due = config.saveEverySteps !== undefined && globalStep % config.saveEverySteps === 0;
    if (due || epoch % config.saveEvery === 0 || epoch === config.epochs) await save();
    await evaluateIfDue();
  }
  await save();
  await keeper.finish();
  return {
    outcome: epoch >= config.epochs ? 'done' : 'stopped',
    checkpoint: keeper.path!,
    params: await queryParams(trainer),
    ...(measures && { measures }),
    ...(unmeasured !== undefined && { unmeasured }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** The next batch; a failure is met when it is awaited, not before. */
function ask(batches: AsyncIterator<Batch>): Promise<IteratorResult<Batch>> {
  const next = batches.next();
  next.catch(() => undefined);
  return next;
}

function scalars(metrics: Readonly<Record<string, Tensor>>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).map(([name, { data }]) => [name, data[0]!]));
}

async function queryParams(trainer: Trainer): Promise<Params> {
  const names = trainer.stateNames.filter((name) => name.startsWith('q.'));
  return under('q', await trainer.state(names));
}

function writeEpoch(log: RunLog, epoch: number, globalStep: number, meters: Meters, lr: number): void {
  const { time, data } = meters;
  const means = Object.fromEntries(metricNames.map((name) => [name, meters[name].average]));
  const pacing = { time: rounded(time.average), data: rounded(data.average) };
  log.write(
    'epoch',
    { epoch, globalStep, ...means, lr, ...pacing },
    {
      step: globalStep,
      values: Object.fromEntries(Object.entries(means).map(([name, value]) => [`mean/${name}`, value])),
    },
  );
}

/** To four places: times are no more exact. */
const rounded = (value: number) => Number(value.toFixed(4));

function describe(measures: Measures): string {
  return measureRows(measures)
    .map(([name, value]) => `${name} ${value.toFixed(2)} %`)
    .join(', ');
}

/** The seconds per step, lately. */
function createPace(window = 50) {
  const times: number[] = [];
  return {
    add: (seconds: number) => {
      times.push(seconds);
      if (times.length > window) times.shift();
    },
    average: () => times.reduce((sum, value) => sum + value, 0) / Math.max(1, times.length),
  };
}
