/** The cells of an ablation on the disk: one JSON each, so that what is measured is never measured again. */

import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DivergedError, UserError } from '@moco-ts/core';
import { createPool } from '@moco-ts/data';
import {
  defaultWorkers,
  holdsRun,
  type Lock,
  type Measures,
  makeFolder,
  type Note,
  openBackend,
  openCheckpoint,
  openData,
  openEvaluation,
  type Reporter,
  skipList,
  textIfThere,
  train,
  usualKnn,
  version,
  withOpened,
  writeAtomic,
} from '@moco-ts/node';
import {
  defaults,
  initialParams,
  meaningful,
  type RunConfig,
  type RunFlags,
  resolveConfig,
} from '@moco-ts/run';
import { inFlags } from '../words.ts';
import { type Outcome, storedCell } from './stored-cell.ts';
import { type Setting, settingName, untrainedSetting } from './sweeps.ts';

export interface Cell {
  readonly setting: Setting;
  readonly seed: number;
}

/** A trained cell. */
export interface CellResult extends Outcome {
  readonly sweep: string;
  readonly series: string;
  readonly x: number | string;
  readonly seed: number;
}

export const cellName = ({ setting, seed }: Cell) => `${settingName(setting)}-seed-${seed}`;

/** What a finished cell must still agree on to be taken as it is: everything but how it was computed. */
function recipeOf(config: RunConfig): string {
  const { backend, threads, workers, printFreq, saveEvery, keep, ...recipe } = config;
  return JSON.stringify(Object.entries(recipe).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export interface CellJob {
  /** The ablation's folder. */
  readonly folder: string;
  /** Of that folder. */
  readonly lock: Lock;
  readonly base: RunFlags & { readonly data: string };
  readonly reporter: Reporter;
  /** Called with remarks about the data, each once. */
  readonly note: Note;
  readonly stop: { requested: boolean };
}

/** A cell's configuration: the base recipe with the setting's change. */
export async function cellConfig({ base, note }: Pick<CellJob, 'base' | 'note'>, { setting, seed }: Cell) {
  const dataset = await openData(base, 'train', note);
  const { data } = base;
  // The last epoch's evaluation is the cell's figure.
  const method = setting.flags.method ?? base.method ?? defaults.method;
  const flags = { ...meaningful(method, { ...base, ...setting.flags }), method, seed, data };
  const probe = resolveConfig(flags, dataset, defaultWorkers());
  return { dataset, config: { ...probe, measureEvery: probe.epochs, saveEvery: probe.epochs } };
}

/**
 * The result of a cell: read if it is there, taken from a cell of another sweep with the same recipe, else trained.
 * @param done the cells so far
 * @returns undefined after an interrupt
 * @throws UserError for a file of another recipe or of none, and what training throws but a loss that is no number
 */
export async function runCell(
  job: CellJob,
  cell: Cell,
  done: readonly CellResult[],
): Promise<CellResult | undefined> {
  const { folder, reporter, stop } = job;
  const path = join(folder, 'cells', `${cellName(cell)}.json`);
  const run = join(folder, 'runs', cellName(cell));
  const { dataset, config } = await cellConfig(job, cell);
  const { sweep, series, x } = cell.setting;
  const known = await readCell(path, config);
  // An earlier version left cells with neither measures nor a failure.
  if (known?.measures ?? known?.failure) {
    // A kill may have left it.
    await rm(run, { recursive: true, force: true });
    return { ...known, sweep, series, x, seed: cell.seed };
  }
  const twin = done.find((other) => recipeOf(other.config) === recipeOf(config));
  if (twin) {
    const result = { ...twin, sweep, series, x, seconds: 0 };
    await writeCell(job, path, result);
    return result;
  }
  const resume = (await holdsRun(run)) ? await openCheckpoint(run, reporter.warn, true) : undefined;
  const about = { sweep, series, x, seed: cell.seed, config, images: dataset.length, moco: version };
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  let result: CellResult;
  try {
    const trained = await train({
      config,
      dataset,
      folder: run,
      reporter,
      stop,
      ...(resume && { resume }),
    });
    if (trained.outcome === 'stopped') return undefined;
    const { measures, unmeasured } = trained;
    result = {
      ...about,
      ...(measures ? { measures } : { failure: unmeasured ?? 'it was not measured' }),
      seconds: seconds(),
    };
  } catch (error) {
    // Some cells fail by design, as m = 0 does in the paper.
    if (!(error instanceof DivergedError)) throw error;
    result = { ...about, failure: inFlags(error.text), seconds: seconds() };
  }
  await writeCell(job, path, result);
  await rm(run, { recursive: true, force: true });
  return result;
}

/** What the network measures before training: the floor of every cell with this seed. */
export async function untrained(job: Omit<CellJob, 'stop'>, seed: number): Promise<Measures> {
  const { folder, base, note, reporter } = job;
  const path = join(folder, 'cells', `untrained-seed-${seed}.json`);
  const { dataset, config } = await cellConfig({ base, note }, { setting: untrainedSetting, seed });
  const known = await readCell(path, config);
  if (known?.measures) return known.measures;
  const { onSkip } = skipList(reporter.warn);
  const evaluation = await openEvaluation(config, usualKnn, { note, onSkip });
  const { timing, ...measures } = await withOpened(async (keep) => {
    const backend = keep(await openBackend(config.backend));
    return evaluation.run(backend, initialParams(config), keep(createPool(config.workers)));
  });
  const result = { seed, config, images: dataset.length, measures, seconds: timing.featureSeconds };
  await writeCell(job, path, result);
  return measures;
}

async function writeCell({ lock }: Pick<CellJob, 'lock'>, path: string, result: object): Promise<void> {
  lock.check();
  await makeFolder(dirname(path));
  await writeAtomic(path, `${JSON.stringify(result, null, 2)}\n`);
}

/** @throws UserError for a file of another recipe, and for what is no cell */
async function readCell(path: string, config: RunConfig): Promise<Outcome | undefined> {
  const text = await textIfThere(path);
  if (text === undefined) return undefined;
  const known = storedCell(text, path);
  if (recipeOf(known.config) !== recipeOf(config))
    throw new UserError(`${path} was made with another recipe; choose another --out, or remove it`, {
      code: 'file-taken',
    });
  return known;
}
