import { traitsNamed } from '@moco-ts/encoders';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { addClassifierOptions, classifierCommand, type Defaults } from './classifier-command.ts';
import { oneOf } from './flags.ts';

/** The official linear probe's (MoCo, arXiv 1911.05722, section 4.1); the same for v2. */
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

/** MoCo v3's, of its official repository: rates for a batch of 256, which grow with it. */
function mocoV3(arch: string, batchSize = 1024): Defaults {
  const rate = traitsNamed(arch).family === 'vit' ? 3 : 0.1;
  return { ...defaults, epochs: 90, batchSize, lr: (rate * batchSize) / 256, schedule: [], cos: true };
}

/** Published recipes by the encoder's arch and the batch that was asked for. */
const presets = { 'moco-v1': () => defaults, 'moco-v3': mocoV3 } as const;
type Preset = keyof typeof presets;

export function linclsCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('lincls')
    .summary('train a linear classifier on frozen features')
    .description(
      'Trains a linear classifier on the frozen encoder, in evaluation mode, and reports its accuracy on the test split after each epoch. The best is kept. Defaults are in brackets.',
    )
    .option('--random', 'on the untrained network of the run')
    .option('--cache-features', 'compute features once: many times faster, without augmentation')
    .option(
      '--preset <name>',
      'moco-v1, also for v2 (the defaults), or moco-v3: 90 epochs, batch 1024, cosine, rate .1 (ResNets) or 3 (ViTs) per 256',
      oneOf(Object.keys(presets) as Preset[]),
      'moco-v1',
    );
  addClassifierOptions(command, defaults)
    .addHelpText(
      'after',
      `
Examples:
  moco lincls runs/photos labelled-photos/ --lr 30 --out runs/probe
  moco lincls labelled-photos/ --pretrained checkpoint.pth.tar
  moco lincls runs/photos labelled-photos/ --preset moco-v3
  moco lincls runs/fashion --cache-features --epochs 30
  moco lincls runs/probe/best.safetensors -e`,
    )
    .action(async (path: string | undefined, data: string | undefined, { preset, ...options }) => {
      const recipe = presets[preset as Preset];
      finish(await classifierCommand({ path, data, options, recipe, command: 'lincls' }, io));
    });
}
