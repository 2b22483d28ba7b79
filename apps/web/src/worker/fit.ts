/** Settings that suit a set: neither batch nor queue is larger than it. */
import { UserError } from '@moco-ts/core';
import type { Settings } from '../fields.ts';

/** Images that a training takes at least: batch normalisation in eight groups needs two in each. */
export const LEAST = 16;

export interface Fitted {
  readonly settings: Settings;
  /** What was changed, for people. */
  readonly note?: string;
}

/** @throws UserError for a set that is too small */
export function fit(settings: Settings, images: number): Fitted {
  if (images < LEAST)
    throw new UserError(
      `${images} ${images === 1 ? 'image is' : 'images are'} too few: training takes ${LEAST} at least.`,
    );
  // A power of two, as all sizes that the page offers.
  const most = 2 ** Math.floor(Math.log2(images));
  const batchSize = Math.min(settings.batchSize, most);
  const mocoK = Math.min(settings.mocoK, most);
  if (batchSize === settings.batchSize && mocoK === settings.mocoK) return { settings };
  const note = `For ${images} images the batch is ${batchSize}, the queue ${mocoK} keys.`;
  return { settings: { ...settings, batchSize, mocoK }, note };
}
