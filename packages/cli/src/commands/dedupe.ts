import { counted } from '@moco-ts/core';
import { openBackend, withOpened } from '@moco-ts/node';
import type { Command } from 'commander';
import pc from 'picocolors';
import { type Io, oneLine, remarkTo } from '../io.ts';
import { checkCount, findDuplicates } from '../vectors/duplicates.ts';
import { progressLine } from '../vectors/progress.ts';
import { openSet } from '../vectors/set.ts';
import { cosine, integer } from './flags.ts';
import { lineOnSet } from './next.ts';
import { type DataOptions, dataFlags, type ModelOptions, modelFlags } from './vector-flags.ts';

interface DedupeOptions extends ModelOptions, DataOptions {
  readonly model?: string;
  readonly threshold: number;
  readonly max: number;
}

export function dedupeCommand(program: Command, io: Io): void {
  const command = program
    .command('dedupe')
    .summary('find near-duplicates among images')
    .description(
      'Prints groups of near-duplicates: an image and those behind it in the set whose vectors have a cosine of at least --threshold to its own. Nothing is removed. What cosine means the same image depends on the encoder: look at the groups of a few thresholds.',
    )
    .argument('<set>', 'file of moco embed, or an image folder')
    .option('--threshold <x>', 'the least cosine of duplicates', cosine, 0.95)
    .option('--model <model>', 'the encoder of an image folder, as for moco embed')
    .option(
      '--max <n>',
      'more vectors are refused: the time grows by their square',
      integer(1, 1e9),
      100_000,
    );
  dataFlags(modelFlags(command))
    .addHelpText(
      'after',
      `
The number beside each of the others is its cosine to the first of the group.

Examples:
  moco dedupe photos.parquet
  moco dedupe photos.parquet --threshold 0.98 --json
  moco dedupe photos/ --model runs/photos`,
    )
    .action((set: string, options: DedupeOptions) => dedupe(set, options, io));
}

/** The cosine of equal images, up to rounding. */
const EQUAL = 1 - 1e-5;

async function dedupe(source: string, options: DedupeOptions, io: Io): Promise<void> {
  const { dim: faint, bold } = pc.createColors(io.color);
  const expect = (count: number, dim: number) => checkCount(source, count, dim, options.max);
  const set = await openSet(source, { ...options, expect }, io);
  const { threads } = options;
  const groups = await withOpened(async (keep) => {
    const backend = keep(
      await openBackend(options.backend ?? 'ort', threads === undefined ? {} : { threads }),
    );
    const progress = progressLine(io, set.ids.length);
    keep({ close: progress.end });
    return findDuplicates(backend, set, options.threshold, progress.update);
  });
  for (const { first, others } of groups) {
    io.show(`          ${oneLine(first)}\n`);
    for (const { id, similarity } of others)
      io.show(`${faint(`= ${similarity.toFixed(4)}`)}  ${oneLine(id)}\n`);
    io.show('\n');
  }
  const alike = groups.flatMap(({ others }) => others).filter(({ similarity }) => similarity < EQUAL);
  if (alike.length > set.ids.length / 2) {
    const higher = Number((1 - (1 - options.threshold) / 5).toPrecision(3));
    remarkTo(io)(
      `most images repeat another at ${options.threshold}: to this encoder they are much alike; try --threshold ${higher}`,
    );
  }
  const copies = groups.reduce((sum, { others }) => sum + others.length, 0);
  io.result(
    { groups, images: set.ids.length, copies },
    `${bold(counted(groups.length, 'group'))} of near-duplicates; ${copies} of ${counted(set.ids.length, 'image')} repeat a first.\n`,
  );
  io.next(lineOnSet('map', source, options));
}
