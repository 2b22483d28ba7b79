import { type ProbePresetName, probePresetNames, probePresets } from '@moco-ts/run';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { addClassifierOptions, classifierCommand, type Defaults } from './classifier-command.ts';
import { oneOf } from './flags.ts';

const [usual] = probePresetNames;

const recipe = (name: ProbePresetName, arch: string, batchSize?: number): Defaults => ({
  ...probePresets[name](arch, batchSize),
  train: 'linear',
  seed: 0,
});

/** Where no flag and no preset says otherwise. */
export const linearDefaults = recipe(usual!, '');

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
      `a published recipe (${usual}, also v2's): ${probePresetNames.join(', ')} (90 epochs, batch 1024, cosine, rate .1 per 256, or 3 for ViTs)`,
      oneOf(probePresetNames),
      usual,
    );
  addClassifierOptions(command, linearDefaults)
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
      const given = { path, data, options, command: 'lincls' };
      const recipeFor = (arch: string, batchSize?: number) => recipe(preset, arch, batchSize);
      finish(await classifierCommand({ ...given, recipe: recipeFor }, io));
    });
}
