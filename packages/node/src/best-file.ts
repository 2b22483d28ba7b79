/** `best.json` of a run folder: which of its checkpoints is the best, and what was measured. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Candidate, type Choice, type Chooser, checkpointName, choose, selectors } from '@moco-ts/run';
import { measureTitles } from './evaluate.ts';
import { writeAtomic } from './files.ts';
import { entryIfThere, textIfThere } from './source.ts';

/** What a run chose so far. */
export interface Best extends Choice {
  readonly by: Chooser;
  /** The name of its checkpoint. */
  readonly file: string;
  /** All that were measured, in the order of the run. */
  readonly candidates: readonly Candidate[];
}

/** The choice among candidates; undefined among none. */
export function bestOf(by: Chooser, candidates: readonly Candidate[]): Best | undefined {
  const choice = choose(by, candidates);
  return choice && { by, file: checkpointName(choice.best), ...choice, candidates };
}

/** The same among those whose checkpoints are there: one may have been removed, or set aside as it leads nowhere. */
export async function bestThere(
  folder: string,
  by: Chooser,
  candidates: readonly Candidate[],
): Promise<Best | undefined> {
  for (let left = candidates; ; ) {
    const best = bestOf(by, left);
    if (!best || (await entryIfThere(join(folder, best.file)))) return best;
    left = left.filter(({ globalStep }) => globalStep !== best.best.globalStep);
  }
}

/** What a run chose of what is there; undefined where it chose nothing, or the file was damaged from outside. */
export async function readBest(folder: string): Promise<Best | undefined> {
  const text = await textIfThere(join(folder, 'best.json'));
  if (text === undefined) return undefined;
  try {
    const { by, candidates } = Object(JSON.parse(text)) as Partial<Best>;
    const isKnown = by !== undefined && by !== ('none' as string) && selectors.includes(by);
    return isKnown && candidates?.every(isCandidate) ? await bestThere(folder, by, candidates) : undefined;
  } catch {
    return undefined;
  }
}

function isCandidate({ epoch, step, globalStep, value }: Candidate): boolean {
  const isCount = (number: number) => Number.isSafeInteger(number) && number >= 0;
  return [epoch, step, globalStep].every(isCount) && Number.isFinite(value);
}

/** Names a folder's best checkpoint, or none. */
export async function writeBest(folder: string, best: Best | undefined): Promise<void> {
  const path = join(folder, 'best.json');
  if (best === undefined) await rm(path, { force: true });
  else await writeAtomic(path, `${JSON.stringify(best)}\n`);
}

/** What the figure of a chooser is called. */
const titles: Readonly<Record<Chooser, string>> = {
  retrieval: measureTitles.editedCopies,
  knn: measureTitles.knn,
  loss: 'loss',
};

/** `edited copies, R@1 48.20 % after epoch 12` */
export function bestText({ by, best: { epoch, value } }: Best): string {
  const figure = by === 'loss' ? value.toFixed(4) : `${value.toFixed(2)} %`;
  return `${titles[by]} ${figure} after epoch ${epoch}`;
}
