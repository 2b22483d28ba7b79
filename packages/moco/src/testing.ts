/** What the tests share. */
import type { PretrainOptions } from './options.ts';

/** The options of `tiny` in the command's tests: a run that takes seconds. */
export const tiny = {
  arch: 'resnet-tiny',
  imageSize: 16,
  batchSize: 8,
  bnSplits: 2,
  mocoK: 16,
  mocoDim: 8,
  method: 'moco-v2',
  workers: 0,
  threads: 1,
  printFreq: 1,
  lr: 0.01,
} as const satisfies PretrainOptions;
