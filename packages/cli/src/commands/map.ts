import { basename } from 'node:path';
import { counted, UserError } from '@moco-ts/core';
import { bytes, withOutput, writeAtomic } from '@moco-ts/node';
import type { Command } from 'commander';
import { type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { makeMap, mostImages, thinned } from '../map/map.ts';
import { datasetOf, openSet } from '../vectors/set.ts';
import { integer, setting } from './flags.ts';
import { lineOnSet } from './next.ts';
import { type DataOptions, dataFlags, type ModelOptions, modelFlags } from './vector-flags.ts';

interface MapOptions extends ModelOptions, DataOptions {
  readonly out: string;
  readonly data?: string;
  readonly model?: string;
  readonly title?: string;
  readonly seed: number;
  readonly neighbours: number;
  readonly thumbnail: number;
  readonly limit?: number;
}

export function mapCommand(program: Command, io: Io): void {
  const command = program
    .command('map')
    .summary('write a page on which alike images lie near each other')
    .description(
      'Writes one HTML file, which needs no network: the images of a set, placed by UMAP of their vectors, to zoom, move and search, with the nearest images at a click. The same vectors and --seed give the same places.',
    )
    .argument('<set>', 'file of moco embed, or an image folder')
    .requiredOption('--out <file>', 'the page, named *.html')
    .option('--data <folder>', 'where the images of the file are now')
    .option('--model <model>', 'the encoder of an image folder, as for moco embed')
    .option('--title <text>', 'title of the page')
    .option('--seed <n>', 'decides the places', setting('seed'), 0)
    .option('--neighbours <n>', 'neighbours whose nearness the places keep', integer(2, 1000), 15)
    .option('--thumbnail <pixels>', 'side of the small images', integer(8, 512), 64)
    .option('--limit <n>', 'at most so many images, evenly spaced', integer(2, 1_000_000));
  dataFlags(modelFlags(command))
    .addHelpText(
      'after',
      `
Examples:
  moco map photos.parquet --out photos.html
  moco map photos/ --model runs/photos --out photos.html --thumbnail 96`,
    )
    .action(async (set: string, options: MapOptions) => {
      const { out, thumbnail } = options;
      if (!/\.html?$/i.test(out))
        throw new UserError(`--out ${out}: the page's name should end in .html`, {
          code: 'setting-invalid',
          setting: 'out',
        });
      if (thumbnail > 256)
        throw new UserError(`--thumbnail ${thumbnail}: give at most 256`, {
          code: 'setting-invalid',
          setting: 'thumbnail',
          value: thumbnail,
        });
      await withOutput(out, remarkTo(io), () => map(set, options, io));
    });
}

async function map(source: string, options: MapOptions, io: Io): Promise<void> {
  const { out, limit = mostImages } = options;
  const all = await openSet(source, options, io);
  const set = thinned(all, limit);
  if (set !== all)
    io.aside(`Every ${(all.ids.length / limit).toFixed(1)}th of ${all.ids.length} images is on the map.\n`);
  const dataset = await datasetOf(set, options.data, noteTo(io));
  const page = await makeMap(set, dataset, {
    ...options,
    title: options.title ?? `Map of ${basename(source)}`,
    backend: options.backend ?? 'ort',
    note: (line) => io.aside(`${line}\n`),
    warn: warnTo(io),
  });
  await writeAtomic(out, page);
  const size = Buffer.byteLength(page);
  const images = set.ids.length;
  io.result({ path: out, images, bytes: size }, `${out}: ${counted(images, 'image')}, ${bytes(size)}\n`);
  io.next(lineOnSet('dedupe', source, options));
}
