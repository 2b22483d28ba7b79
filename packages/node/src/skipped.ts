/** Damaged images that a command leaves out: reported on the terminal, counted, and listed in `skipped.jsonl` of a run folder. */
import { appendFileSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { counted } from '@moco-ts/core';
import type { SkippedImage } from '@moco-ts/data';
import { unwritable } from './files.ts';

export const SKIPPED = 'skipped.jsonl';
/** At most this many are reported on the terminal if a file lists them all. */
const TOLD = 10;

export interface SkipList {
  /** To be called with each image that is left out, as often as it is met. @throws UserError when the disk refuses */
  readonly onSkip: (skipped: SkippedImage) => void;
  /** Images that were left out. */
  readonly count: number;
}

/**
 * @param folder of a run, whose file begins with the first damaged image and goes on when the run does; without, the
 * terminal lists all
 */
export function skipList(warn: (text: string) => void, folder?: string): SkipList {
  const path = folder === undefined ? undefined : join(folder, SKIPPED);
  const reported = new Set<string>();
  let known: Set<string> | undefined;
  const write = (path: string, { id, reason }: SkippedImage) => {
    known ??= idsOf(path);
    if (known.has(id)) return;
    known.add(id);
    try {
      mkdirSync(dirname(path), { recursive: true });
      appendFileSync(path, `${JSON.stringify({ id, reason })}\n`);
    } catch (error) {
      throw unwritable(path, error);
    }
  };
  return {
    onSkip: (skipped) => {
      if (reported.has(skipped.id)) return;
      reported.add(skipped.id);
      if (path !== undefined) write(path, skipped);
      if (path === undefined || reported.size <= TOLD) warn(`left out: ${skipped.reason}`);
      else if (reported.size === TOLD + 1) warn(`more images are left out: ${path} lists them all`);
    },
    get count() {
      return reported.size;
    },
  };
}

/** How many were left out, as a line; nothing where there were none. */
export function leftOut({ count }: Pick<SkipList, 'count'>): string {
  if (count === 0) return '';
  return `${counted(count, 'damaged image was', 'damaged images were')} left out.\n`;
}

function idsOf(path: string): Set<string> {
  let text: string;
  try {
    text = statSync(path).isFile() ? readFileSync(path, 'utf8') : '';
  } catch {
    return new Set();
  }
  const ids = text.split('\n').flatMap((line) => {
    try {
      return [(JSON.parse(line) as { id: string }).id];
    } catch {
      // Half a line of a killed process.
      return [];
    }
  });
  return new Set(ids);
}
