/** A run's choice of its best checkpoint, while it trains. */
import { join } from 'node:path';
import { type Candidate, checkpointName, type Position, type RunConfig } from '@moco-ts/run';
import { type Best, bestOf, bestThere, readBest, writeBest } from './best-file.ts';
import type { Measures } from './evaluate.ts';
import { entryIfThere } from './source.ts';

/** Of a run that doesn't choose, and where another process does. */
export const noSelection: Selection = {
  active: false,
  best: undefined,
  over: false,
  add: async () => undefined,
};

export interface Selection {
  /** Whether the run chooses at all. */
  readonly active: boolean;
  readonly best: Best | undefined;
  /** Patience is at its end. */
  readonly over: boolean;
  /**
   * Takes what was measured where a checkpoint was just saved, in the place of what was measured there before.
   * @param loss the mean of the epoch
   */
  add(at: Position, measures: Measures, loss: number | undefined): Promise<void>;
}

/**
 * The choice of a run that begins or goes on at a position: what was measured behind it is of another course of the run, and
 * what is not there is no choice.
 */
export async function openSelection(
  { select: by, patience = Number.POSITIVE_INFINITY }: Pick<RunConfig, 'select' | 'patience'>,
  folder: string,
  { globalStep }: Position,
): Promise<Selection> {
  if (by === 'none') return noSelection;
  const isThere = async (at: Position) =>
    (await entryIfThere(join(folder, checkpointName(at)))) !== undefined;
  const before = await readBest(folder);
  const known = before?.by === by ? before.candidates : [];
  const here = known.filter((candidate) => candidate.globalStep <= globalStep);
  let best = await bestThere(folder, by, here);
  if (best?.candidates.length !== before?.candidates.length) await writeBest(folder, best);
  return {
    active: true,
    get best() {
      return best;
    },
    get over() {
      return best !== undefined && best.waited >= patience;
    },
    async add({ epoch, step, globalStep }, { editedCopies, knn }, loss) {
      const value = { retrieval: editedCopies, knn, loss }[by];
      const candidate = value !== undefined && { epoch, step, globalStep, value };
      if (!candidate || !(await isThere(candidate))) return;
      best = bestOf(by, [...without(best, candidate), candidate]);
      await writeBest(folder, best);
    },
  };
}

const without = (best: Best | undefined, { globalStep }: Position): readonly Candidate[] =>
  best?.candidates.filter((candidate) => candidate.globalStep !== globalStep) ?? [];
