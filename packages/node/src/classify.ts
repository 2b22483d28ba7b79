/** The training loop of `moco lincls` and `moco finetune`. */

import { join } from 'node:path';
import {
  BackendError,
  type ClassifierConfig,
  classifierState,
  classifierStep,
  counted,
  createTrainer,
  DivergedError,
  featureEncoder,
  isBuffer,
  learningRate,
  type Params,
  prefixed,
  SettingError,
  say,
  settingRef,
  sgd,
  type Tensor,
  type Trainer,
  under,
  withoutHead,
} from '@moco-ts/core';
import type { LabelledSet } from '@moco-ts/data';
import {
  encoderOf,
  type LogSinkPlugin,
  logSinks,
  type Progress,
  runSession,
  Session,
  type StepInfo,
} from '@moco-ts/run';
import { bestOf, type ClassifierFile, type ClassifierInfo, saveClassifier } from './classifier-file.ts';
import {
  type Accuracy,
  cachedBatches,
  type EncoderAtWork,
  featuresOf,
  imageBatches,
  type LabelledBatch,
  type LabelledBatches,
  linearValidation,
  validation,
} from './classify-data.ts';
import { faultOf } from './finite.ts';
import type { Lock } from './lock.ts';
import { openLog, type RunLog, usualLogs } from './log.ts';
import { type Keep, withOpened } from './opened.ts';
import type { Reporter } from './reporter.ts';

export interface ClassifyJob extends EncoderAtWork {
  readonly info: Pick<ClassifierInfo, 'recipe' | 'run' | 'encoder'>;
  /** The classifier's. */
  readonly classes: readonly string[];
  readonly train: LabelledSet;
  readonly test: LabelledSet;
  readonly printFreq: number;
  /** As for `train`. */
  readonly log?: readonly (string | LogSinkPlugin)[] | undefined;
  /** Where `latest.safetensors`, `best.safetensors` and the log are written. */
  readonly folder: string;
  /** Of the folder. */
  readonly lock: Lock;
  readonly resume?: ClassifierFile;
  readonly reporter: Reporter;
  readonly stop: { requested: boolean };
}

export interface ClassifyResult {
  readonly outcome: 'done' | 'stopped';
  readonly epoch: number;
  readonly last: Accuracy;
  readonly bestAcc1: number;
}

/**
 * Trains a classifier, validates it after each epoch, and keeps the last and the best.
 * @throws SettingError for a batch larger than the set; BackendError for a frozen encoder that changed; DivergedError for a loss, weights or logits
 * that are not finite, by which nothing is saved
 */
export function classify(job: ClassifyJob): Promise<ClassifyResult> {
  return withOpened((keep) => classifyWith(job, keep));
}

async function classifyWith(job: ClassifyJob, keep: Keep): Promise<ClassifyResult> {
  const { info, classes, train, test, params, folder, lock, resume, reporter, stop, backend } = job;
  const { recipe } = info;
  const sinks = logSinks(job.log ?? usualLogs);
  const linear = recipe.train === 'linear';
  const backbone = withoutHead(params);
  const cached = recipe.cacheFeatures ? await featuresOf(job, train) : undefined;
  const config = stepConfig(job, classes.length, cached?.dim);
  const state = resume
    ? stateOf(resume.tensors, cached !== undefined)
    : classifierState(config, recipe.seed, cached ? {} : backbone);
  const trainer = keep(await createTrainer(backend, classifierStep(config, state), state));
  const batches = keep(cached ? cachedBatches(cached, recipe) : imageBatches(job, train));
  const validate = linear
    ? await linearValidation(job, test, classes.length)
    : (params: Params) => validation(job, test, params, classes.length);
  const begun = resume?.info.epoch ?? 0;
  const facts = {
    ...{ folder, step: begun * batches.stepsPerEpoch, warn: reporter.warn },
    settings: { ...recipe, arch: info.run.arch, imageSize: info.run.imageSize },
    about: {
      encoder: info.encoder,
      classes: classes.length,
      backend: { name: backend.name, device: backend.device },
    },
  };
  const log = keep(await openLog(facts, sinks));
  keep(reporter);
  const session = sessionOf(job, trainer, batches, begun, log);
  let epoch = begun;
  let last: Accuracy = resume?.info ?? { acc1: 0, acc5: 0 };
  let bestAcc1 = resume ? await bestOf(folder, resume) : -1;
  let alarmed = false;
  const onEpoch = async (done: number, progress: Progress) => {
    reporter.epoch(progress);
    const tensors = await trainer.state();
    if (linear && !cached && epoch === begun) expectUnchanged(tensors, backbone);
    const all = cached ? { ...prefixed('q', backbone), ...tensors } : tensors;
    epoch = done;
    const fault = faultOf(all);
    if (fault !== undefined) throw new DivergedError(say`${fault} after epoch ${epoch}: ${remedy}`);
    last = await validate(under('q', all));
    const best = last.acc1 > bestAcc1;
    bestAcc1 = Math.max(bestAcc1, last.acc1);
    const values = tagged('test', { acc1: last.acc1, acc5: last.acc5 });
    log.write('validation', { epoch, ...last, bestAcc1 }, { step: progress.globalStep, values });
    const worse = worseThanGuessing(progress.meters.loss.average, classes.length, epoch === recipe.epochs);
    if (worse && !alarmed) {
      const rate = Number((recipe.lr / 10).toPrecision(3));
      const message = say`${worse}: the classifier diverged; try ${settingRef('lr', rate)}`;
      reporter.warn(message);
      log.write('alarm', { epoch: epoch - 1, message: String(message) });
      alarmed = true;
    }
    reporter.note(
      `Epoch ${epoch}: test Acc@1 ${last.acc1.toFixed(2)} %  Acc@5 ${last.acc5.toFixed(2)} %${best ? '  (best)' : ''}`,
    );
    const saved = { ...info, classes, epoch, ...last, bestAcc1 };
    lock.check();
    // The best first: what `latest` says of it is true whenever the process ends.
    if (best) await saveClassifier(join(folder, 'best.safetensors'), saved, all);
    await saveClassifier(join(folder, 'latest.safetensors'), saved, all);
  };
  try {
    const done = await runSession(session, { stop, onEpoch });
    const outcome = done ? 'done' : 'stopped';
    log.ended(outcome);
    return { outcome, epoch, last, bestAcc1 };
  } catch (error) {
    if (error instanceof DivergedError) log.write('diverged', { epoch, message: error.message });
    throw error;
  }
}

function sessionOf(
  { info, printFreq, reporter, backend }: ClassifyJob,
  trainer: Trainer,
  { stepsPerEpoch, epoch: batches }: LabelledBatches,
  epoch: number,
  log: RunLog,
): Session<LabelledBatch> {
  const { recipe } = info;
  const { lr, epochs, batchSize, cos: cosine, schedule: milestones } = recipe;
  return new Session({
    ...{ trainer, epochs, stepsPerEpoch, batchSize, batches },
    position: { epoch, step: 0, globalStep: epoch * stepsPerEpoch },
    feeds: (batch) => ({ ...batch }),
    rate: ({ epoch }) => learningRate(lr, { ...recipe, cosine, milestones }, epoch),
    overlapping: backend.capabilities().overlapping,
    clock: () => performance.now(),
    diverged: (loss, { epoch, step }) =>
      new DivergedError(say`the loss is ${loss} at epoch ${epoch}, step ${step}: ${remedy}`),
    onStep: async (info) => {
      await reporter.step(info.progress);
      if (info.at.step % printFreq === 0) writeStep(log, info);
    },
  });
}

function writeStep(log: RunLog, { at, learningRate: lr, metrics }: StepInfo): void {
  const { epoch, step, globalStep } = at;
  const { loss, acc1, acc5 } = metrics as Record<'loss' | 'acc1' | 'acc5', number>;
  const values = { ...tagged('train', { loss, acc1, acc5 }), lr };
  log.write('step', { epoch, step, globalStep, loss, acc1, acc5, lr }, { step: globalStep, values });
}

function stepConfig({ info, train }: ClassifyJob, classes: number, cachedDim?: number): ClassifierConfig {
  const { recipe, run } = info;
  const { name, length } = train.dataset;
  if (recipe.batchSize > length)
    throw new SettingError(
      say`${settingRef('batchSize', recipe.batchSize)} is larger than ${name}, of which ${counted(length, 'image')} can be trained on`,
    );
  const own = encoderOf({ ...run, stopGradConv1: recipe.train === 'linear' && run.stopGradConv1 });
  return {
    ...(cachedDim === undefined
      ? own
      : { encoder: featureEncoder(cachedDim), encoderConfig: { imageSize: 1 } }),
    batch: recipe.batchSize,
    bnSplits: 1,
    classes,
    train: cachedDim === undefined ? recipe.train : 'all',
    optimizer: sgd({ momentum: recipe.momentum, weightDecay: recipe.wd }),
  };
}

/** With features in memory the step holds the classifier alone. */
function stateOf(tensors: Readonly<Record<string, Tensor>>, cached: boolean): Record<string, Tensor> {
  if (!cached) return { ...tensors };
  return Object.fromEntries(
    Object.entries(tensors).filter(([name]) => /^(q|opt\.momentum)\.fc\./.test(name)),
  );
}

const remedy = say`the training diverged; try a lower ${settingRef('lr')}; what was saved is intact`;

/**
 * How many times a guess's loss is a divergence: large steps may overshoot at first and still come to a good end, so that
 * more is borne before the end.
 */
const DIVERGED = { underWay: 100, atEnd: 3 };

/** What is wrong with an epoch's mean loss; undefined when nothing is. */
export function worseThanGuessing(loss: number, classes: number, atEnd: boolean): string | undefined {
  const guess = Math.log(classes);
  if (!(loss > guess * (atEnd ? DIVERGED.atEnd : DIVERGED.underWay))) return undefined;
  return `the mean loss is ${loss.toPrecision(3)}, worse than guessing, which has ${guess.toFixed(2)}`;
}

/** TensorBoard's tags: a value of a batch and one of the test split are two series. */
const tagged = (split: 'train' | 'test', values: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${split}/${name}`, value]));

/** @throws BackendError when training changed a frozen encoder: the check of the official linear probe */
function expectUnchanged(tensors: Readonly<Record<string, Tensor>>, backbone: Params): void {
  for (const [name, { data }] of Object.entries(backbone)) {
    const after = tensors[`q.${name}`]!.data;
    if (data.some((value, i) => after[i] !== value))
      throw new BackendError(
        `the frozen encoder changed: ${isBuffer(name) ? 'statistics' : 'weights'} of ${name}; this is a defect of the backend`,
      );
  }
}
