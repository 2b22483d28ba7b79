import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { addClassifierOptions, classifierCommand, type Defaults } from './classifier-command.ts';

/** The official linear probe's (MoCo, arXiv 1911.05722, section 4.1). */
const defaults: Defaults = {
  train: 'linear',
  epochs: 100,
  batchSize: 256,
  lr: 30,
  momentum: 0.9,
  wd: 0,
  schedule: [60, 80],
  cos: false,
  cropMin: 0.08,
  seed: 0,
};

export function linclsCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('lincls')
    .summary('train a linear classifier on frozen features')
    .description(
      'Trains a linear classifier on the frozen encoder, in evaluation mode, and reports its accuracy on the test split after each epoch. The best is kept. Defaults are in brackets.',
    )
    .argument('<run>', 'run folder or checkpoint; with -e a classifier')
    .argument('[data]', "labelled data, if not the run's")
    .option('--random', 'on the untrained network of the run')
    .option('--cache-features', 'compute features once: many times faster, without augmentation')
    .action(async (path: string, data: string | undefined, options) =>
      finish(await classifierCommand({ path, data, options, defaults, command: 'lincls' }, io)),
    );
  addClassifierOptions(command, defaults).addHelpText(
    'after',
    `
Examples:
  moco lincls runs/photos labelled-photos/ --lr 30 --out runs/probe
  moco lincls runs/fashion --cache-features --epochs 30
  moco lincls runs/probe/best.safetensors -e`,
  );
}
