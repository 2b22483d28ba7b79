/** `skipped.jsonl` of a run folder: each picture that was left out, with its reason, once. */
import { appendFileSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import type { SkippedPicture } from '@moco-ts/data';
import { systemReason } from './files.ts';

export const SKIPPED = 'skipped.jsonl';
/** So many are told at the terminal; the rest stand in the file alone. */
const TOLD = 10;

/**
 * What is to be called with each picture that is left out. The file begins with the first of them, and goes on when the
 * run does.
 * @returns throws UserError when the disk refuses
 */
export function skipList(folder: string, warn: (text: string) => void): (skipped: SkippedPicture) => void {
  const path = join(folder, SKIPPED);
  let known: Set<string> | undefined;
  let told = 0;
  return ({ id, reason }) => {
    known ??= idsOf(path);
    if (!known.has(id)) {
      known.add(id);
      try {
        appendFileSync(path, `${JSON.stringify({ id, reason })}\n`);
      } catch (error) {
        throw new UserError(
          `${path} could not be written: ${systemReason(error) ?? (error as Error).message}`,
        );
      }
    }
    told++;
    if (told <= TOLD) warn(`left out: ${reason}`);
    if (told === TOLD + 1) warn(`more pictures are left out: ${path} lists them all`);
  };
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
