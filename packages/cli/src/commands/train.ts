import { join } from 'node:path';
import { counted } from '@moco-ts/core';
import {
  type AutoTrained,
  autoTrain,
  type ComparedRow,
  catchInterrupts,
  measureTitles,
  type Phase,
  type Planned,
  type RecipeLine,
  type Reporter,
  type Stop,
  type TrainRequest,
  writeAtomic,
} from '@moco-ts/node';
import { methodOf, type RunConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import pc from 'picocolors';
import { duration, wrap } from '../format.ts';
import { type Io, noteTo } from '../io.ts';
import { reportOf } from '../report/report.ts';
import { createReporter } from '../reporter.ts';
import { inFlags } from '../words.ts';
import { lineOf, type Needs } from './next.ts';
import { addPretrainOptions } from './pretrain-options.ts';
import { namedFlags, type RecipeOptions } from './recipe.ts';

interface TrainOptions extends RecipeOptions {
  readonly out?: string;
  readonly resume?: string;
  readonly log?: readonly string[];
}

export function trainCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('train')
    .summary('from images to a measured ONNX model, within a time')
    .description(
      'Looks at the images and the machine, chooses a recipe that ends within the time (30m, on a GPU 1h), says why, and trains. Leaves checkpoints, model.onnx and report.html in the run folder, also after Ctrl-C, and compares the encoder with the untrained one and with raw pixels on images that it never saw. Explicit flags win over the recipe.',
    )
    .argument('[data]', 'image folder, idx or CIFAR folder, or emoji')
    .action(async (data: string | undefined, { out, resume, log, ...recipe }: TrainOptions) => {
      const flags = namedFlags(data, recipe);
      finish(await trainAs({ flags, preset: recipe.preset, out, log, resume }, io));
    });
  addPretrainOptions(command).addHelpText(
    'after',
    `
The defaults in brackets are those of moco pretrain, for what no recipe sets.

Examples:
  moco train photos/
  moco train photos/ --time 2h --out runs/photos
  moco train photos/ --init resnet50.pth --time 1h
  moco train --resume runs/photos    spends what is left of the time`,
  );
}

/** What people are told while something else than training goes on. */
const phases: Readonly<Partial<Record<Phase, string>>> = {
  looking: 'Looking at the images ...',
  timing: 'Timing steps on this machine ...',
  baselines: 'Measuring raw pixels and the untrained network ...',
  measuring: 'Measuring the trained network ...',
  exporting: 'Exporting it ...',
  reporting: 'Writing the report ...',
};

/**
 * Trains and tells all of it.
 * @param alias what gives the command its name, for whom it has none yet
 * @returns the exit code
 */
export async function trainAs(request: TrainRequest, io: Io, alias = ''): Promise<number> {
  const { dim } = pc.createColors(io.color);
  let phase: Phase = 'looking';
  // The report opens the images again.
  const warn = noteTo(io);
  const stop = catchInterrupts(() => io.aside(`\n${interrupted(phase)}\n`));
  try {
    const trained = await autoTrain(request, {
      note: (text) => io.say(`${inFlags(text)}\n`),
      warn,
      stop,
      clock: () => performance.now(),
      phase: (next) => {
        phase = next;
        const text = phases[phase];
        if (text !== undefined) io.say(`${dim(text)}\n`);
      },
      planned: (planned) => {
        tellPlan(planned, io);
        return reporterOf(planned.config, io);
      },
      report: async (folder) => {
        const path = join(folder, 'report.html');
        await writeAtomic(path, await reportOf(folder, { backend: 'ort', warn }));
        return path;
      },
    });
    if (!trained) {
      io.result({ outcome: 'stopped' }, 'Stopped before training began; nothing was written.\n');
      return 130;
    }
    tellResult(trained, stop, io, alias);
    return stop.requested ? 130 : 0;
  } finally {
    stop.release();
  }
}

/** Where lines stay, one for each checkpoint is enough: an epoch of few images is over in no time. */
function reporterOf(config: RunConfig, io: Io): Reporter {
  const reporter = createReporter(io, config.printFreq, methodOf(config).metrics?.(config) ?? []);
  if (io.live || io.manner.json) return reporter;
  return {
    ...reporter,
    step: () => undefined,
    epoch: (progress) => {
      if ((progress.epoch + 1) % config.saveEvery === 0) reporter.epoch(progress);
    },
  };
}

function interrupted(phase: Phase): string {
  if (phase === 'training')
    return 'Stopping after this step; then what was learned is measured, exported and\nreported. Interrupt again to leave at once: the last checkpoint stays.';
  return ['looking', 'timing', 'baselines'].includes(phase)
    ? 'Stopping before training begins.'
    : 'Training is over; a moment more for the rest. Interrupt again to leave at once.';
}

function tellPlan({ recipe, config, folder, resume, dataset }: Planned, io: Io): void {
  const { bold } = pc.createColors(io.color);
  io.event('plan', {
    folder,
    recipe: recipe.map((line) => ({ ...line, reason: inFlags(line.reason) })),
  });
  io.say(`\n${bold(config.data)}\n`);
  for (const line of recipe) io.say(`${recipeLine(line)}\n`);
  if (resume) {
    const { epoch, globalStep } = resume.info;
    io.say(
      `Goes on from epoch ${epoch}, step ${globalStep} of the run, on ${counted(dataset.length, 'image')}.\n`,
    );
  }
  io.say(`  ${'run folder'.padEnd(WHAT)}${folder}\n\n`);
}

/** Columns of a recipe. */
const [WHAT, VALUE, WIDTH] = [13, 16, 80];

/** `  method       simclr            few images: ...`, in lines of 80 columns. */
export function recipeLine({ what, value, reason }: RecipeLine): string {
  const start = `  ${what.padEnd(WHAT)}${value.padEnd(VALUE)}`;
  const text = inFlags(reason);
  const indent = ' '.repeat(2 + WHAT + VALUE);
  // A long value has its reason below.
  const own = value.length <= VALUE - 2;
  const lines = wrap(text, WIDTH - indent.length, '').split('\n');
  if (text === '') return start.trimEnd();
  return own
    ? start + lines.join(`\n${indent}`)
    : `${start.trimEnd()}\n${indent}${lines.join(`\n${indent}`)}`;
}

function tellResult(trained: AutoTrained, stop: Pick<Stop, 'requested'>, io: Io, alias: string): void {
  const { bold } = pc.createColors(io.color);
  const { folder, model, report, skipped, seconds, config, outcome } = trained;
  tellRows(trained, io);
  const left: [string, string][] = [
    ...(model
      ? [['model.onnx', `takes raw images, gives ${model.dim} numbers for each`] as [string, string]]
      : []),
    ...(report === undefined
      ? []
      : [['report.html', 'curves, views, neighbours, settings'] as [string, string]]),
    ['checkpoints', 'to go on from'],
  ];
  const damaged =
    skipped > 0 ? ` ${counted(skipped, 'damaged image was', 'damaged images were')} left out.` : '';
  io.show(`\nDone in ${duration(seconds)}.${damaged} In ${bold(folder)}:\n`);
  for (const [name, what] of left) io.show(`  ${name.padEnd(13)}${what}\n`);
  const { rows, images, seen, best } = trained;
  io.result({ outcome, folder, best, model, report, rows, images, seen, skipped, seconds });
  const goesOn = stop.requested && outcome === 'stopped';
  io.say(`\n${alias}Next:\n`);
  for (const line of nextCommands(folder, config, goesOn)) io.say(`  ${bold(line)}\n`);
}

/** What each figure means. @param images that are measured on */
const meanings = (images: number): Readonly<Record<ComparedRow['measure'], string>> => ({
  editedCopies: `Edited copies: each image is cropped, recoloured and blurred; how often its own original is the nearest of ${images}.`,
  crossDesigner: "Cross-designer: how often another designer's drawing of the same emoji is the nearest.",
  neighbour: 'Neighbour: how often the nearest other image is of the same category.',
  knn: 'kNN: how often the nearest labelled images name the right class.',
});

const CHOSEN =
  'Trained: the best of the checkpoints that were measured on these very images, which flatters it a little.';

/** Whether the encoder finds edited copies better than what was there before; also where that was not measured. */
export function isBetter(rows: readonly ComparedRow[]): boolean {
  const row = rows.find(({ measure }) => measure === 'editedCopies');
  return row === undefined || row.after > Math.max(row.pixels ?? 0, row.before ?? 0);
}

function tellRows({ rows, images, seen, best }: AutoTrained, io: Io): void {
  if (rows.length === 0) return;
  const { bold, dim, yellow } = pc.createColors(io.color);
  const cell = (value: number | undefined) =>
    (value === undefined ? '-' : `${value.toFixed(1)} %`).padStart(11);
  const title = `On ${images} images ${seen ? 'that it was trained on' : 'that it never saw'}`;
  const heads = ['raw pixels', 'untrained', 'trained', 'chance'].map((head) => head.padStart(11)).join('');
  io.show(`\n${bold(title.padEnd(34))}${heads}\n`);
  for (const { measure, pixels, before, after, chance } of rows)
    io.show(
      `${measureTitles[measure].padEnd(34)}${cell(pixels)}${cell(before)}${bold(cell(after))}${cell(chance)}\n`,
    );
  const told = rows.map(({ measure }) => meanings(images)[measure]);
  for (const text of best && best.by !== 'loss' ? [...told, CHOSEN] : told)
    io.show(`${dim(wrap(text, WIDTH, '  '))}\n`);
  if (!isBetter(rows))
    io.show(
      `${yellow(wrap('What it learned finds edited copies no better than what was there before: give it more --time, or more images.', WIDTH, '  '))}\n`,
    );
}

/** Three commands that can be pasted in this order. */
export function nextCommands(
  folder: string,
  { data, ...needs }: Pick<RunConfig, 'data'> & Needs,
  goesOn: boolean,
): string[] {
  const vectors = join(folder, 'vectors.parquet');
  const all = [
    ...(goesOn ? [lineOf('train', ['--resume', folder], needs)] : []),
    lineOf('embed', [folder, data, '--out', vectors], needs),
    lineOf('map', [vectors, '--out', join(folder, 'map.html')], needs),
    lineOf('dedupe', [vectors], needs),
  ];
  return all.slice(0, 3);
}
