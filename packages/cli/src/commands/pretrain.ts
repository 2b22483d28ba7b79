import { join } from 'node:path';
import { counted } from '@moco-ts/core';
import {
  alone,
  bestText,
  catchInterrupts,
  planRun,
  type Reporter,
  startTiming,
  train,
  type World,
} from '@moco-ts/node';
import { lengthOf, methodOf, type RunConfig } from '@moco-ts/run';

import type { Command } from 'commander';
import { withEstimate } from '../estimate.ts';
import { duration } from '../format.ts';
import { asNext, type Io, remarkTo, warnTo } from '../io.ts';
import { createReporter } from '../reporter.ts';
import { inFlags } from '../words.ts';
import { dataOf, lineOf } from './next.ts';
import { fromOfficial, type OfficialFlags } from './official-flags.ts';
import { addOfficialOptions, addPretrainOptions } from './pretrain-options.ts';
import { namedFlags, type RecipeOptions } from './recipe.ts';

interface PretrainOptions extends RecipeOptions, OfficialFlags {
  readonly out?: string;
  readonly resume?: string;
  readonly log?: readonly string[];
}

export function pretrainCommand(
  program: Command,
  io: Io,
  finish: (code: number) => void,
  world: World = alone,
): void {
  const command = program
    .command('pretrain')
    .summary('train an encoder on images without labels')
    .description(
      'Trains an encoder on images without labels (MoCo v1 to v3, SimCLR, instance discrimination), or from a trained one (distill). Defaults are in brackets; explicit flags win over those that --preset and --method set.',
    )
    .argument('[data]', 'image folder, idx or CIFAR folder, or emoji')
    .action(async (data: string | undefined, options: PretrainOptions) => {
      finish(await pretrain(data, options, io, world));
    });
  addPretrainOptions(command).addHelpText(
    'after',
    `
Examples:
  moco pretrain photos/ --method moco-v2 -a resnet18 --image-size 64 -b 64 \\
      --moco-k 4096 --epochs 100
  moco pretrain emoji --method moco-v2 -a resnet-tiny -b 64 --moco-k 1024
  moco pretrain --resume runs/photos-moco-v2-resnet18
  mpirun -n 4 moco pretrain photos/ -b 256`,
  );
  addOfficialOptions(command);
}

async function pretrain(
  data: string | undefined,
  options: PretrainOptions,
  io: Io,
  world: World,
): Promise<number> {
  const timing = startTiming();
  const { out, resume: resumePath, log, ...recipe } = fromOfficial(options, remarkTo(io), world);
  const { preset } = recipe;
  const plan = await planRun(
    { flags: namedFlags(data, recipe), preset, out, resume: resumePath },
    { warn: warnTo(io), note: (text) => io.say(`${inFlags(text)}\n`) },
    world,
  );
  const { config, dataset, folder, resume } = plan;

  const reporter = withEstimate(
    createReporter(io, config.printFreq, methodOf(config).metrics?.(config) ?? []),
    config,
    `${lineOf('train', [dataOf(config)], { plugin: config.plugin })} makes a recipe that ends in time.`,
  );
  announce(reporter, config, dataset.length);
  const stop = catchInterrupts(() =>
    reporter.note('Stopping after this step; interrupt again to leave at once without saving.'),
  );
  try {
    const from = resume ? ` (from epoch ${resume.info.epoch}, step ${resume.info.step})` : '';
    const begun = () => reporter.note(`Run folder: ${folder}${from}`);
    const result = await train({ ...plan, log, reporter, stop, begun, timing, world });
    const { outcome, checkpoint, seconds, skipped, measures, best } = result;
    const chosen = best
      ? `Best: ${join(folder, best.file)}, ${bestText(best)}; knn, embed and export use it.\n`
      : '';
    const left =
      skipped > 0 ? `; ${counted(skipped, 'damaged image was', 'damaged images were')} left out` : '';
    const goOn =
      outcome === 'stopped' ? `Go on with: ${lineOf('pretrain', ['--resume', folder], config)}\n` : '';
    io.result(
      { outcome, folder, checkpoint, seconds, skipped, measures, best },
      `Saved ${checkpoint} after ${duration(seconds)}${left}.\n${chosen}${goOn}`,
    );
    const measuring = lineOf('knn', [folder, dataOf(config)], config);
    const exporting = lineOf('export', [folder, '-o', 'model.onnx'], config);
    if (outcome !== 'stopped') io.say(asNext(measuring, exporting));
    return stop.requested ? 130 : 0;
  } finally {
    stop.release();
  }
}

function announce(reporter: Reporter, config: RunConfig, images: number): void {
  const { method, arch, imageSize, data, batchSize } = config;
  reporter.note(
    `${method}, ${arch} at ${imageSize} px: ${counted(images, 'image')} of ${data}, ${lengthOf(config)}, batch ${batchSize}`,
  );
}
