import { counted, UserError } from '@moco-ts/core';
import { bytes, catchInterrupts, openData, skipList } from '@moco-ts/node';
import type { Command } from 'commander';
import { type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { embedToFile } from '../vectors/embed.ts';
import { openEmbedder } from '../vectors/embedder.ts';
import { formatOf } from '../vectors/file.ts';
import { progressLine } from '../vectors/progress.ts';
import { lineOnSet } from './next.ts';
import { type DataOptions, dataFlags, type ModelOptions, modelFlags } from './vector-flags.ts';

interface EmbedOptions extends ModelOptions, DataOptions {
  readonly out: string;
  readonly raw?: boolean;
  readonly withHead?: boolean;
  readonly tokens?: boolean;
  readonly restart?: boolean;
}

export function embedCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('embed')
    .summary('write the vectors of images to a file')
    .description(
      'Writes one vector for each image, with its id (the path in its folder), for moco search, dedupe and map, or any other program. Memory stays bounded. An interrupted run goes on when the command is repeated, and ends with the same file.',
    )
    .argument('<model>', 'run folder, checkpoint, a file that moco import takes, or a .onnx (see below)')
    .argument('<data>', 'image folder, or another data set that moco knn takes')
    .requiredOption('--out <file>', 'the file: .parquet, or .npy with the ids in .ids.json beside it')
    .option('--raw', 'vectors as the model gives them, not scaled to length 1')
    .option('--with-head', "the contrastive head's outputs, not the features before it")
    .option('--tokens', "features of each image's places (patches), not of the image: [N, T, D]")
    .option('--restart', 'begin anew, whatever an interrupted run left');
  dataFlags(modelFlags(command))
    .addHelpText(
      'after',
      `
A .onnx model is one of moco export --with-preprocess. Damaged images are left
out, each with a warning, up to --max-bad.

Examples:
  moco embed runs/photos photos/ --out photos.parquet
  moco embed resnet50.pth photos/ --out photos.npy --raw
  moco embed dinov2.pth photos/ --out patches.npy --tokens`,
    )
    .action(async (model: string, data: string, options: EmbedOptions) =>
      finish(await embed(model, data, options, io)),
    );
}

async function embed(model: string, data: string, options: EmbedOptions, io: Io): Promise<number> {
  const { out: output, raw = false, withHead = false, tokens = false, restart = false } = options;
  const { split, designers, holdOut } = options;
  if (formatOf(output) === undefined)
    throw new UserError(`--out ${output}: the name should end in .parquet or .npy`, {
      code: 'setting-invalid',
      setting: 'out',
    });
  const warn = warnTo(io);
  const embedder = await openEmbedder(model, { ...options, warn, note: remarkTo(io) });
  const known = designers ?? embedder.config?.designers;
  const dataset = await openData(
    { data, ...(known && { designers: known }), ...(holdOut !== undefined && { holdOut }) },
    split,
    noteTo(io),
  ).catch(async (error) => {
    await embedder.dispose();
    throw error;
  });
  const progress = progressLine(io, dataset.length);
  const skips = skipList(progress.warn);
  const stop = catchInterrupts(() => progress.note('Stopping after this batch.'));
  try {
    const backend = options.backend ?? 'ort';
    const settings = { output, unit: !raw, restart, withHead, tokens, backend };
    const { finished, rows } = await embedToFile(embedder, dataset, settings, {
      onNote: progress.note,
      onStart: (done) => {
        if (done > 0) progress.note(`Goes on behind image ${done} of ${dataset.length}.`);
        progress.start(done);
      },
      onProgress: progress.update,
      onSkip: skips.onSkip,
      ...(options.maxBad !== undefined && { maxBad: options.maxBad }),
      stopped: () => stop.requested,
    });
    progress.end();
    if (!finished) {
      io.result({ outcome: 'stopped', path: output, rows }, 'Stopped. The same command goes on.\n');
      return 130;
    }
    const left = dataset.length - rows;
    const vectors = counted(rows * embedder.rows, tokens ? 'token' : 'vector');
    const places = tokens ? `, ${embedder.rows} of each of ${counted(rows, 'image')}` : '';
    io.result(
      { outcome: 'done', path: output, rows, perImage: embedder.rows, dim: embedder.dim, skipped: left },
      `${output}: ${vectors} of ${embedder.dim} values${raw ? '' : ', of length 1'}${places}, ${bytes(4 * rows * embedder.rows * embedder.dim)}\n` +
        (left > 0 ? `${left} of ${dataset.length} images could not be read and were left out.\n` : ''),
    );
    if (!tokens) io.next(lineOnSet('map', output, options), lineOnSet('dedupe', output, options));
    return 0;
  } finally {
    progress.end();
    stop.release();
    await embedder.dispose();
  }
}
