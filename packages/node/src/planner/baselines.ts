/** What an encoder is compared with, measured before it is trained: so it is known how long measuring takes. */
import { join } from 'node:path';
import { type Backend, type Encoder, under } from '@moco-ts/core';
import { createPool, type Pool } from '@moco-ts/data';
import { createMethod, type RunConfig } from '@moco-ts/run';
import { currentCommit } from '../commit.ts';
import { type EvaluationEvents, type EvaluationSets, type Measures, measureNames } from '../evaluate.ts';
import { type ExportSettings, makeModel } from '../export-model.ts';
import { startingState } from '../init.ts';
import { openBackend } from '../open-backend.ts';
import { withOpened } from '../opened.ts';
import { jsonIfThere } from '../source.ts';
import { type Comparison, openComparison } from './compare.ts';
import type { TrainingSets } from './sets.ts';

export interface Baselines {
  readonly comparison: Comparison;
  readonly pixels: Measures;
  /** Of the network as training began it, as far as it is known. */
  readonly before: Measures;
  /** How long it took to measure the network, and to export it. */
  readonly seconds: { readonly measure: number; readonly export: number };
  /** What the run itself measures on. */
  readonly sets: EvaluationSets;
}

/**
 * @param clock milliseconds since some time
 * @param resumed the folder of a run that goes on: the weights that it began from may be gone
 */
export async function measureBaselines(
  config: RunConfig,
  sets: TrainingSets,
  events: EvaluationEvents,
  clock: () => number,
  encoder?: Encoder,
  resumed?: string,
): Promise<Baselines> {
  const comparison = await openComparison(config, sets, events, encoder);
  const fresh = createMethod(config, sets.train.length, encoder).state();
  // The run itself tells what it takes of given weights.
  const isGone = resumed !== undefined && config.init !== undefined;
  const state = isGone ? fresh : await startingState(config, fresh, () => undefined);
  const params = under('q', state);
  const pixels = await measureAll(config, comparison.pixels);
  const asked = clock();
  const measuredNow = await measureAll(config, (backend, pool) => comparison.encoder(backend, params, pool));
  const measured = clock();
  await makeModel(config, params, exportSettings());
  const seconds = { measure: (measured - asked) / 1000, export: (clock() - measured) / 1000 };
  const before = isGone ? await storedBefore(resumed) : measuredNow;
  // Of labelled images that are trained on, kNN needs some that are not in its bank.
  const own = { train: sets.train, ...(!sets.seen && { test: comparison.asked }) };
  return { comparison, pixels, before, seconds, sets: own };
}

/** What a run's record has of the network as training began it. */
async function storedBefore(folder: string): Promise<Measures> {
  const stored = Object((await jsonIfThere(join(folder, 'train.json'))).before) as Measures;
  const known = measureNames.filter((name) => typeof stored[name] === 'number');
  return Object.fromEntries(known.map((name) => [name, stored[name]]));
}

/** How the model of a run is exported. */
export function exportSettings(): ExportSettings {
  const commit = currentCommit();
  return { withHead: false, withPreprocess: true, ...(commit !== undefined && { commit }) };
}

/** Measures with the backend and the workers of a run. */
export const measureAll = (
  { backend, threads, workers, isolate = false }: RunConfig,
  measure: (backend: Backend, pool: Pool) => Promise<Measures>,
): Promise<Measures> =>
  withOpened(async (keep) =>
    measure(
      keep(await openBackend(backend, threads === undefined ? {} : { threads })),
      keep(createPool(workers, { isolate })),
    ),
  );
