/** From images to a measured, exported encoder within a time: what `moco train` and the library's `train` do. */
import { join } from 'node:path';
import { UserError, under, type Wording } from '@moco-ts/core';
import { logSinks, type RunConfig } from '@moco-ts/run';
import { openBest } from '../checkpoint.ts';
import { exportModel } from '../export-model.ts';
import { writeAtomic } from '../files.ts';
import { registerPlugins } from '../plugins.ts';
import { train } from '../train.ts';
import { exportSettings, measureAll } from './baselines.ts';
import { type ComparedRow, comparedRows } from './compare.ts';
import type { TrainHost, TrainRequest } from './host.ts';
import { planNew, planResumed } from './plan.ts';

/** What is left in the run folder. */
export interface AutoTrained {
  /** `stopped`: before its time was over; `early`: patience came to its end. */
  readonly outcome: 'done' | 'stopped' | 'early';
  readonly folder: string;
  readonly checkpoint: string;
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
  const planned = await (request.resume === undefined ? planNew : planResumed)(request, host);
  if (planned === undefined) return undefined;
  const { config, dataset, folder, resume, timing, baselines } = planned;
  const { own, lock, log } = request;
  host.phase('training');
  const reporter = host.planned(planned);
  const result = await train({
    ...{ config, dataset, folder, timing, reporter, stop: host.stop },
    ...(resume && { resume }),
    ...(own && { own }),
    ...(lock && { lock }),
    log,
    evaluateOn: baselines.sets,
  });
  const { outcome, checkpoint, skipped } = result;
  const chosen = result.best && (await openBest(folder, host.warn));
  const params = chosen ? under('q', chosen.tensors) : result.params;
  const orWarn = settledOrWarned(host.warn);
  host.phase('measuring');
  const after = await orWarn('the encoder could not be measured', () =>
    measureAll(config, (backend, pool) => baselines.comparison.encoder(backend, params, pool)),
  );
  const { pixels, before, comparison } = baselines;
  const rows = after ? comparedRows(pixels, before, after, comparison.chance) : [];
  host.phase('exporting');
  const model = await orWarn('the model could not be exported', async () => {
    const path = join(folder, 'model.onnx');
    const { dim, difference } = await exportModel(config, params, path, exportSettings());
    return { path, dim, difference };
  });
  const { images, seen, classes } = comparison;
  const left = { rows, images, seen, ...(classes !== undefined && { classes }), ...(model && { model }) };
  await writeAtomic(
    join(folder, 'train.json'),
    `${JSON.stringify({ recipe: planned.recipe, ...left }, null, 2)}\n`,
  );
  let report: string | undefined;
  if (host.report) {
    host.phase('reporting');
    report = await orWarn('the report could not be written', () => host.report!(folder));
  }
  const seconds = (host.clock() - started) / 1000;
  return {
    outcome,
    folder,
    checkpoint,
    config,
    ...left,
    ...(report !== undefined && { report }),
    skipped,
    seconds,
  };
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
