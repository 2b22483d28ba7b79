import type { Command } from 'commander';
import { type Io, oneLine } from '../io.ts';
import { type Found, search } from '../vectors/search.ts';
import { neighbours } from './flags.ts';
import { lineOnSet } from './next.ts';
import { type DataOptions, dataFlags, type ModelOptions, modelFlags } from './vector-flags.ts';

interface CommandOptions extends ModelOptions, DataOptions {
  readonly model?: string;
  readonly neighbours: number;
  readonly index?: boolean;
}

const told = ({ query, neighbours }: Found) =>
  `${oneLine(query)}\n${neighbours.map(({ id, similarity }) => `  ${similarity.toFixed(4).padStart(7)}  ${oneLine(id)}\n`).join('')}`;

export function searchCommand(program: Command, io: Io): void {
  const command = program
    .command('search')
    .summary('find the images nearest to others')
    .description(
      'Prints the images of a set that are nearest to others, by the cosine of their vectors. The set is a file of moco embed, which names its encoder, or images with --model. Search is exact; for hundreds of thousands of vectors --index makes and uses an index (needs npm install usearch).',
    )
    .argument('<set>', 'file of moco embed, or an image folder')
    .argument('<images...>', 'image files, or ids of the set')
    .option('-k, --neighbours <n>', 'how many to print', neighbours, 10)
    .option('--model <model>', 'the encoder, as for moco embed')
    .option('--index', 'search an index beside the file, which is made once');
  dataFlags(modelFlags(command))
    .addHelpText(
      'after',
      `
Examples:
  moco search photos.parquet holiday.jpg
  moco search photos.parquet 2019/beach.jpg -k 5 --json
  moco search photos/ holiday.jpg --model runs/photos`,
    )
    .action(async (set: string, images: string[], options: CommandOptions) => {
      const { neighbours: k, index = false, ...rest } = options;
      const results = await search(set, images, { ...rest, k, index }, io);
      io.result({ results }, results.map(told).join(''));
      io.next(lineOnSet('map', set, rest));
    });
}
