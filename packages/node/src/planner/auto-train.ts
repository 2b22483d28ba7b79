/** From images to a measured, exported encoder within a time: what `moco train` and the library's `train` do. */
import { dirname, join } from 'node:path';
import { say, settingRef, UserError, under, type Wording } from '@moco-ts/core';
import { logSinks, type RunConfig } from '@moco-ts/run';
import type { Best } from '../best-file.ts';
import { holdsRun, openBest } from '../checkpoint.ts';
import { exportModel } from '../export-model.ts';
import { writeAtomic } from '../files.ts';
import { lockFolder } from '../lock.ts';
import { registerPlugins } from '../plugins.ts';
import { jsonIfThere } from '../source.ts';
import { train } from '../train.ts';
import { exportSettings, measureAll } from './baselines.ts';
import { type ComparedRow, comparedRows } from './compare.ts';
import type { Planned, TrainHost, TrainRequest } from './host.ts';
import { planNew, planResumed } from './plan.ts';

/** What is left in the run folder. */
export interface AutoTrained {
  /** `stopped`: before its time was over; `early`: patience came to its end. */
  readonly outcome: 'done' | 'stopped' | 'early';
  readonly folder: string;
  /** The last one. */
  readonly checkpoint: string;
  /** Which checkpoint the encoder is of, where one was chosen. */
  readonly best?: Best;
  readonly config: RunConfig;
  /** The encoder beside what it should beat; empty where it could not be measured. */
  readonly rows: readonly ComparedRow[];
  /** Images that were measured on. */
  readonly images: number;
  /** They were trained on too. */
  readonly seen: boolean;
  readonly classes?: number;
  readonly model?: { readonly path: string; readonly dim: number; readonly difference: number };
  readonly report?: string;
  readonly skipped: number;
  /** Of all that was done. */
  readonly seconds: number;
}

/**
 * @returns undefined where it was stopped before training began, and nothing is left
 * @throws UserError for what `planNew` refuses, and what a run throws
 */
export async function autoTrain(request: TrainRequest, host: TrainHost): Promise<AutoTrained | undefined> {
  const started = host.clock();
  await registerPlugins();
  // What the machine is timed for should not end by a name.
  if (request.log) logSinks(request.log);
  const asked = request.resume === 'auto' ? await withRunToResume(request) : request;
  const planned = await (asked.resume === undefined ? planNew : planResumed)(asked, host);
  if (planned === undefined) return undefined;
  // Held until all is written: another process that went on with the run meanwhile would mix two histories.
  const lock = request.lock ?? (await lockFolder(planned.folder, host.note));
  try {
    const left = await trainPlanned(planned, { ...request, lock }, host);
    return { ...left, seconds: (host.clock() - started) / 1000 };
  } finally {
    if (!request.lock) lock.release();
  }
}

/** `auto` is the run in `out`, which knows its settings, or a new one. */
async function withRunToResume({ resume: _, preset, ...request }: TrainRequest): Promise<TrainRequest> {
  const { out } = request;
  if (out === undefined)
    throw new UserError(
      say`${settingRef('resume', 'auto')} looks into the run folder: name it by ${settingRef('out')}`,
      { code: 'setting-missing', setting: 'out' },
    );
  return (await holdsRun(out)) ? { ...request, resume: out } : { ...request, preset };
}

async function trainPlanned(
  planned: Planned,
  { own, lock, log }: TrainRequest,
  host: TrainHost,
): Promise<Omit<AutoTrained, 'seconds'>> {
  const { config, dataset, folder, resume, beginning, timing, baselines } = planned;
  host.phase('training');
  const reporter = host.planned(planned);
  // A run that goes on was planned when it began.
  const recipe = resume ? await recipeOf(dirname(resume.path)) : planned.recipe;
  const { pixels, before, comparison } = baselines;
  // With what was measured before: a run that is killed, and whose weights to begin from are gone, has it from here.
  const record = (left: object) =>
    writeAtomic(join(folder, 'train.json'), `${JSON.stringify({ recipe, before, ...left }, null, 2)}\n`);
  const result = await train({
    ...{ config, dataset, folder, timing, reporter, stop: host.stop, log },
    ...(resume && { resume }),
    ...(beginning && { beginning }),
    ...(own && { own }),
    ...(lock && { lock }),
    ...(!resume && { begun: () => record({}) }),
    evaluateOn: baselines.sets,
    measureStopped: true,
  });
  const { outcome, checkpoint, skipped } = result;
  const orWarn = settledOrWarned(host.warn);
  const chosen =
    result.best && (await orWarn('the best checkpoint could not be read', () => openBest(folder, host.warn)));
  const params = chosen ? under('q', chosen.tensors) : result.params;
  host.phase('measuring');
  const after = await orWarn('the encoder could not be measured', () =>
    measureAll(config, (backend, pool) => baselines.comparison.encoder(backend, params, pool)),
  );
  const rows = after ? comparedRows(pixels, before, after, comparison.chance) : [];
  host.phase('exporting');
  const model = await orWarn('the model could not be exported', async () => {
    const path = join(folder, 'model.onnx');
    const { dim, difference } = await exportModel(config, params, path, exportSettings());
    return { path, dim, difference };
  });
  const { images, seen, classes } = comparison;
  const left = { rows, images, seen, ...(classes !== undefined && { classes }), ...(model && { model }) };
  await record(left);
  let report: string | undefined;
  if (host.report) {
    host.phase('reporting');
    report = await orWarn('the report could not be written', () => host.report!(folder));
  }
  return {
    ...{ outcome, folder, checkpoint, config, skipped },
    ...left,
    ...(chosen && { best: chosen.best }),
    ...(report !== undefined && { report }),
  };
}

/** What `train.json` tells of the recipe of a run; empty where another command made it. */
async function recipeOf(folder: string): Promise<readonly unknown[]> {
  const { recipe } = await jsonIfThere(join(folder, 'train.json'));
  return Array.isArray(recipe) ? recipe : [];
}

/** Training is done: what fails behind it takes nothing else along. */
const settledOrWarned =
  (warn: (text: Wording) => void) =>
  async <T>(what: string, act: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      warn(`${what}: ${error.message}`);
      return undefined;
    }
  };
