import { counted, quoted } from '@moco-ts/core';
import { bytes, catchInterrupts, defaultWorkers, type Shrunk, shrink, skipList } from '@moco-ts/node';
import type { Command } from 'commander';
import { type Io, warnTo } from '../io.ts';
import { type Progress, progressLine } from '../vectors/progress.ts';
import { integer, setting } from './flags.ts';
import { lineOf } from './next.ts';

interface ShrinkOptions {
  readonly size: number;
  readonly out?: string;
  readonly workers?: number;
  readonly maxBad?: number;
}

export function shrinkCommand(program: Command, io: Io, finish: (code: number) => void): void {
  program
    .command('shrink')
    .summary('copy an image folder with smaller images')
    .description(
      'Writes a copy of an image folder whose images have a shorter side of at most --size pixels, for training that waits for decoding. Folders, names, and so splits, classes and the order of images stay. The images themselves are never touched. An interrupted copy goes on when the command is repeated.',
    )
    .argument('<data>', 'image folder')
    .option('--size <px>', 'pixels of the shorter side, at most', integer(1, 65_536), 256)
    .option('--out <folder>', "the copy's folder (DATA-SIZE)")
    .option('-j, --workers <n>', 'processes that decode (cores - 1, at most 8)', setting('workers'))
    .option(
      '--max-bad <n>',
      'damaged images that are left out before it is an error (1 %, at least 10)',
      setting('maxBad'),
    )
    .addHelpText(
      'after',
      `
Images are turned upright and converted to sRGB; metadata (place, date, camera)
are dropped. A size of about twice --image-size of the training leaves its crops
as sharp as they were.

Examples:
  moco shrink photos/
  moco shrink photos/ --size 448 --out small`,
    )
    .action(async (data: string, options: ShrinkOptions) => finish(await shrinkTo(data, options, io)));
}

async function shrinkTo(data: string, options: ShrinkOptions, io: Io): Promise<number> {
  const { workers = defaultWorkers(), ...given } = options;
  let line: Progress | undefined;
  const note = (text: string) => (line ? line.note(text) : io.aside(`${text}\n`));
  const skips = skipList((text) => (line ? line.warn(text) : warnTo(io)(text)));
  const stop = catchInterrupts(() => note('Stopping after the images that are under way.'));
  const progress = (done: number, images: number) => {
    line ??= progressLine(io, images);
    line.update(done);
  };
  try {
    // One process decodes while this one writes.
    const job = { ...given, data, workers: Math.max(1, workers), note, progress, stop, onSkip: skips.onSkip };
    const shrunk = await shrink(job);
    line?.end();
    io.result(shrunk, told(shrunk));
    if (shrunk.outcome === 'done')
      io.say(`Next: ${lineOf('pretrain', [shrunk.out])} in place of ${quoted(data)}\n`);
    return shrunk.outcome === 'stopped' ? 130 : 0;
  } finally {
    line?.end();
    stop.release();
  }
}

function told({ outcome, out, images, kept, damaged, bytes: size, decoding }: Shrunk): string {
  if (outcome === 'stopped') return 'Stopped. The same command goes on.\n';
  const before = kept > 0 ? `, ${kept} of them made before` : '';
  return [
    `${out}: ${counted(images - damaged, 'image')}${before}; ${bytes(size.before)} -> ${bytes(size.after)}`,
    ...(damaged > 0
      ? [
          `${counted(damaged, 'damaged image')}: ${damaged === 1 ? 'an empty file keeps' : 'empty files keep'} the numbers of all others.`,
        ]
      : []),
    ...(decoding
      ? [
          `Decoding an image: ${decoding.before.toFixed(1)} -> ${decoding.after.toFixed(1)} ms, ${(decoding.before / decoding.after).toFixed(1)} times as fast (mean of ${decoding.images})`,
        ]
      : []),
    '',
  ].join('\n');
}
