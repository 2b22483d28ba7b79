import { join } from 'node:path';
import { counted } from '@moco-ts/core';
import {
  catchInterrupts,
  defaultWorkers,
  lockFolder,
  type Measures,
  measureRows,
  openData,
  type Reporter,
  registerPlugins,
} from '@moco-ts/node';
import { resolveConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import { type Cell, type CellJob, type CellResult, cellName, runCell, untrained } from '../ablation/cells.ts';
import { writeReport } from '../ablation/report.ts';
import { type SweepName, sweepNames, sweeps, untrainedSetting } from '../ablation/sweeps.ts';
import { duration } from '../format.ts';
import { type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { integer, names, oneOf } from './flags.ts';
import { addRecipeOptions } from './pretrain-options.ts';
import { type RecipeOptions, recipeFlags } from './recipe.ts';

interface AblateOptions extends RecipeOptions {
  readonly out: string;
  readonly sweeps: readonly SweepName[];
  readonly seeds: number;
}

export function ablateCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('ablate')
    .summary("repeat the papers' ablations at your scale")
    .description(
      'Trains one cell for each setting and seed, and writes a report with the published curve beside the measured one. What is measured is kept as one JSON per cell: interrupt, and run the same line again to go on.',
    )
    .argument('[data]', 'image folder, idx or CIFAR folder, or emoji')
    .option(
      '--sweeps <names>',
      'm: momentum; k: K for end-to-end, memory bank and MoCo; bn; v2: MLP, aug+, cosine',
      (text: string) => names(text).map((name) => oneOf(sweepNames)(name)),
      ['m', 'k'],
    )
    .option('--seeds <n>', 'runs of each setting, with seeds from --seed on', integer(1, 1000), 3)
    .option('--out <folder>', 'where cells and report are kept', join('runs', 'ablation'))
    .action(async (data: string | undefined, options: AblateOptions) => {
      finish(await ablate(data, options, io));
    });
  addRecipeOptions(command).addHelpText(
    'after',
    `
Examples:
  moco ablate --preset emoji --epochs 20 --out runs/ablation-emoji
  moco ablate photos/ -a resnet18 --image-size 64 -b 64 --epochs 100 --sweeps m`,
  );
}

async function ablate(data: string | undefined, options: AblateOptions, io: Io): Promise<number> {
  await registerPlugins();
  const { out, sweeps: chosen, seeds, ...recipe } = options;
  const base = recipeFlags(data, recipe, 'ablate');
  const note = noteTo(io);
  const dataset = await openData(base, 'train', note);
  const resolved = resolveConfig({ ...base, ...untrainedSetting.flags }, dataset, defaultWorkers());
  const settings = chosen.flatMap((name) => sweeps[name].settings(resolved, dataset.length));
  const cells = settings.flatMap((setting) =>
    Array.from({ length: seeds }, (_, i): Cell => ({ setting, seed: resolved.seed + i })),
  );
  io.say(
    `${counted(cells.length, 'cell')} of ${counted(resolved.epochs, 'epoch')} on ${dataset.name} (${counted(dataset.length, 'image')}), ${out}\n`,
  );
  const lock = await lockFolder(out, remarkTo(io));
  const stop = catchInterrupts(() => io.say('Stopping after this step.\n'));
  const job: CellJob = { folder: out, lock, base, reporter: quiet(io), note, stop };
  const results: CellResult[] = [];
  const floor: Measures[] = [];
  try {
    for (let i = 0; i < seeds; i++) floor.push(await untrained(job, resolved.seed + i));
    for (const [at, cell] of cells.entries()) {
      const result = await runCell(job, cell, results);
      if (!result) {
        const outcome = { outcome: 'stopped', folder: out, cells: results.length };
        io.result(outcome, 'Stopped. Run the same line again to go on.\n');
        return 130;
      }
      results.push(result);
      const { measures, failure, seconds } = result;
      io.event('cell', { name: cellName(cell), measures, failure, seconds });
      io.say(
        `${String(at + 1).padStart(3)}/${cells.length} ${cellName(cell).padEnd(34)}${resultLine(result)}\n`,
      );
    }
    lock.check();
    const files = await writeReport(out, { base: resolved, results, floor });
    const outcome = { outcome: 'done', folder: out, cells: results.length, files };
    io.result(outcome, files.map((path) => `${path}\n`).join(''));
    return 0;
  } finally {
    stop.release();
    lock.release();
  }
}

function resultLine({ measures, failure, seconds }: CellResult): string {
  if (!measures) return failure!;
  const figures = measureRows(measures).map(([, value]) => value.toFixed(1).padStart(5));
  return `${figures.join(' ')}  ${duration(seconds)}`;
}

/** A cell's own notes and epochs are of no interest among many; its warnings are. */
function quiet(io: Io): Reporter {
  const nothing = () => undefined;
  return {
    step: nothing,
    epoch: nothing,
    note: nothing,
    warn: warnTo(io),
    close: nothing,
  };
}
