import { join } from 'node:path';
import type { Wording } from '@moco-ts/core';
import { defineDataset, type ImageDataset, openDataset, openTest } from '@moco-ts/data';
import {
  type Best,
  type Measures,
  type OwnParts,
  planRun,
  type Reporter,
  startTiming,
  type TrainResult,
  train,
} from '@moco-ts/node';
import {
  type NoSettings,
  type Progress,
  presets,
  type RunConfig,
  type RunFlags,
  type SettingTable,
} from '@moco-ts/run';
import { checkOptions } from './check-options.ts';
import { type LazyRun, type Lent, lazyRun } from './lazy-run.ts';
import type { EvaluationEvent, MethodOptions, PretrainOptions } from './options.ts';
import { adoptBackend, adoptEncoder, adoptMethod } from './own.ts';

/** One step of a run, with the fields of a `step` line in its `log.jsonl`. */
export interface Step {
  /** From 0. */
  readonly epoch: number;
  /** Of the epoch, from 0. */
  readonly step: number;
  /** Of the run, from 0. */
  readonly globalStep: number;
  /** The contrastive loss. */
  readonly loss: number;
  /** How often the positive has the largest logit, in percent; undefined for a method that has no positives. */
  readonly acc1?: number;
  /** How often it is among the five largest, in percent. */
  readonly acc5?: number;
  /** Standard deviation of the queries over the batch, the mean of their dimensions: near 0 after a collapse. */
  readonly featureStd?: number;
  /** All metrics of the method by their names, the loss among them. */
  readonly metrics: Readonly<Record<string, number>>;
  /** The learning rate. */
  readonly lr: number;
  /** Seconds that the step took. */
  readonly time: number;
  /** Seconds of them in which it waited for views. */
  readonly data: number;
  /** Images per second, lately. */
  readonly rate: number;
  /** Seconds until the end of the training. */
  readonly eta: number;
  /** The share of the training that is done with it, in [0, 1]. */
  readonly done: number;
  /** Epochs in all; Infinity where {@link OwnOptions.time} alone ends the run. */
  readonly epochs: number;
  /** Steps in an epoch. */
  readonly steps: number;
}

/** The checkpoint that a run chose. */
export interface BestCheckpoint {
  /** The path of its file. */
  readonly checkpoint: string;
  /** Epochs that were done. */
  readonly epoch: number;
  /** What chose it. */
  readonly by: 'retrieval' | 'knn' | 'loss';
  /** R@1 of edited copies or kNN accuracy, in percent; or the mean loss of an epoch. */
  readonly value: number;
}

/** What a run leaves. */
export interface PretrainResult {
  /**
   * `stopped`: by a signal, a loop that was left, or `maxSteps`; {@link OwnOptions.resume} continues it. `early`: `patience` came to
   * its end.
   */
  readonly outcome: 'done' | 'stopped' | 'early';
  /** The run folder: checkpoints, `config.json`, `log.jsonl` and TensorBoard's events. */
  readonly folder: string;
  /** The last checkpoint, for {@link loadEncoder} and the command's subcommands. */
  readonly checkpoint: string;
  /** With `select`: the best checkpoint, which {@link loadEncoder} takes of the run folder. */
  readonly best?: BestCheckpoint;
  /** The settings of the run, defaults included. */
  readonly config: RunConfig;
  /** The last evaluation, in percent. */
  readonly measures?: Measures;
  /** Damaged images that were left out. */
  readonly skipped: number;
  /** How long it took. */
  readonly seconds: number;
}

/** A run: its steps as they are taken, then its result. Nothing happens before one of the two is asked for. */
export interface PretrainRun extends LazyRun<Step, PretrainResult> {}

/**
 * Trains an encoder on images without labels, as `moco pretrain` does: the same options give the same weights, to the bit.
 * Errors that you can fix are one-line `UserError`s.
 *
 * ```ts
 * const run = pretrain({ data: 'photos/', method: 'moco-v2', arch: 'resnet18', imageSize: 64, batchSize: 64, mocoK: 4096 });
 * for await (const step of run) console.log(step.epoch, step.loss);
 * const { checkpoint } = await run.result;
 * ```
 */
export function pretrain<Own extends SettingTable = NoSettings>(
  options: PretrainOptions & MethodOptions<Own>,
): PretrainRun {
  return lazyRun<Step, PretrainResult>(
    options.signal,
    () => checkOptions(options),
    (lent) => run(options, lent),
  );
}

async function run(options: PretrainOptions, { stop, channel }: Lent<Step>): Promise<PretrainResult> {
  const timing = startTiming();
  const warn = warnBy(options);
  const { log, own, ...wish } = await requestOf(options);
  const plan = await planRun(wish, { warn, note: silent });
  const reporter = reporterOf(warn, {
    step: (step) => channel.offer(step),
    evaluation: (evaluation) => options.onEvaluation?.(evaluation),
  });
  const result = await train({ ...plan, log, reporter, stop, timing, own });
  return resultOf(result, plan);
}

/** For what nobody listens to. */
export const silent = () => undefined;

/** Who gets the warnings of a run. */
export const warnBy =
  ({ onWarning }: PretrainOptions) =>
  (text: Wording): void =>
    (onWarning ?? emitWarning)(String(text));

/** Hands on what a run tells. */
export const reporterOf = (
  warn: (text: Wording) => void,
  tell: { step(step: Step): void | Promise<void>; evaluation(evaluation: EvaluationEvent): void },
): Reporter => ({
  step: (progress) => tell.step(stepOf(progress)),
  epoch: silent,
  measured: (epoch, measures, best) =>
    tell.evaluation({ epoch, ...measures, ...(best !== undefined && { best }) }),
  note: silent,
  warn,
  close: silent,
});

/** What options ask for, their objects adopted and their data opened. */
export async function requestOf(options: PretrainOptions) {
  const { preset, out, resume, data, testData, log } = options;
  const dataset = typeof data === 'object' ? defineDataset(data) : undefined;
  const flags = await flagsOf(options, dataset);
  const test = await openTestData(testData);
  return { flags, preset, out, resume, dataset, test, log, own: partsOf(options) };
}

/** What the command line would have named. */
async function flagsOf(options: PretrainOptions, own: ImageDataset | undefined): Promise<RunFlags> {
  const { preset, method, arch, backend, data, ...rest } = options;
  const { testData, out, resume, log, signal, onEvaluation, onWarning, knnEvery, ...named } = rest;
  const flags: RunFlags = preset === undefined ? {} : { ...presets[preset].flags };
  if (knnEvery !== undefined) flags.measureEvery = knnEvery;
  for (const [name, value] of Object.entries(named))
    if (value !== undefined) Object.assign(flags, { [name]: value });
  if (method !== undefined) flags.method = typeof method === 'string' ? method : adoptMethod(method);
  if (arch !== undefined) flags.arch = typeof arch === 'string' ? arch : await adoptEncoder(arch);
  if (backend !== undefined)
    flags.backend = typeof backend === 'string' ? backend : await adoptBackend(backend);
  const source = own ? own.source.data : data;
  if (typeof source === 'string') flags.data = source;
  return flags;
}

/** The objects among the options. */
const partsOf = ({ arch, backend }: PretrainOptions): OwnParts => ({
  ...(typeof arch === 'object' && { encoder: arch }),
  ...(typeof backend === 'object' && { backend }),
});

/** Images that are not trained on. */
async function openTestData(data: PretrainOptions['testData']): Promise<ImageDataset | undefined> {
  if (data === undefined) return undefined;
  if (typeof data !== 'string') return defineDataset(data, 'test');
  // A folder without splits of its own has its images in the first.
  return (await openTest(data)) ?? openDataset(data);
}

/** A step as loops see it. */
function stepOf({
  meters,
  epoch,
  epochs,
  step,
  steps,
  globalStep,
  learningRate,
  rate,
  etaSeconds,
  done,
}: Progress): Step {
  const { time, data, ...measured } = meters;
  const metrics = Object.fromEntries(Object.entries(measured).map(([name, { last }]) => [name, last]));
  const { acc1, acc5, featureStd } = metrics;
  return {
    epoch,
    step: step - 1,
    globalStep: globalStep - 1,
    loss: meters.loss.last,
    ...(acc1 !== undefined && { acc1 }),
    ...(acc5 !== undefined && { acc5 }),
    ...(featureStd !== undefined && { featureStd }),
    metrics,
    lr: learningRate,
    time: time.last,
    data: data.last,
    rate,
    eta: etaSeconds,
    done,
    epochs,
    steps,
  };
}

function resultOf(
  { outcome, checkpoint, best, measures, skipped, seconds }: TrainResult,
  { folder, config }: { folder: string; config: RunConfig },
): PretrainResult {
  const told = { outcome, folder, checkpoint, config, ...(measures && { measures }), skipped, seconds };
  return { ...told, ...(best && { best: bestIn(folder, best) }) };
}

/** What a run chose, by the path of its file. */
export const bestIn = (folder: string, { by, file, best: { epoch, value } }: Best): BestCheckpoint => ({
  ...{ checkpoint: join(folder, file), epoch, by, value },
});

/** By the process: on stderr, unless somebody listens. */
export function emitWarning(text: string): void {
  process.emitWarning(text, 'MocoWarning');
}
