/** Flags that the commands around vectors share. */
import type { Split } from '@moco-ts/data';
import type { Command } from 'commander';
import { names, oneOf, setting } from './flags.ts';

export interface ModelOptions {
  readonly backend?: string;
  readonly threads?: number;
  readonly workers?: number;
  readonly plugin?: readonly string[];
}

/** What runs the encoder. */
export function modelFlags(command: Command): Command {
  return command
    .option('--backend <name>', 'what computes (ort)')
    .option('--threads <n>', 'threads of the backend (all cores)', setting('threads'))
    .option('-j, --workers <n>', "threads that read images (the run's)", setting('workers'));
}

export interface DataOptions {
  readonly split: Split;
  readonly holdOut?: number;
  readonly designers?: string[];
  readonly maxBad?: number;
}

/** What a data set's name leaves open. */
export function dataFlags(command: Command): Command {
  return command
    .option('--split <name>', 'train or test', oneOf(['train', 'test']), 'train')
    .option('--hold-out <x>', 'share of an image folder that is its test split', setting('holdOut'))
    .option('--designers <names>', 'emoji: whose drawings', names)
    .option(
      '--max-bad <n>',
      'damaged images that are left out before it is an error (1 %, at least 10)',
      setting('maxBad'),
    );
}
