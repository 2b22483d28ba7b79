import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { addClassifierOptions, classifierCommand, type Defaults } from './classifier-command.ts';

/** A usual recipe of transfer: a small rate, so that what was learned is not undone. */
export const finetuneDefaults: Defaults = {
  train: 'all',
  epochs: 50,
  batchSize: 64,
  lr: 0.01,
  momentum: 0.9,
  wd: 1e-4,
  schedule: [],
  cos: true,
  cropMin: 0.08,
  seed: 0,
};

export function finetuneCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('finetune')
    .summary('train all layers on labelled images')
    .description(
      'Trains a classifier and all layers of the encoder on labelled images, from a pre-trained or (--random) an untrained start, and reports the accuracy on the test split after each epoch. The best is kept. Defaults are in brackets.',
    )
    .option('--random', 'start from the untrained network of the run');
  addClassifierOptions(command, finetuneDefaults)
    .addHelpText(
      'after',
      `
Examples:
  moco finetune runs/photos labelled-photos/ --epochs 30 --out runs/tuned
  moco finetune runs/photos labelled-photos/ --random --out runs/scratch
  moco finetune runs/tuned/best.safetensors -e`,
    )
    .action(async (path: string | undefined, data: string | undefined, options) =>
      finish(
        await classifierCommand(
          { path, data, options, recipe: () => finetuneDefaults, command: 'finetune' },
          io,
        ),
      ),
    );
}
