import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '@moco-ts/core';
import { holdsRun, lockFolder, namesIn, textIfThere } from '@moco-ts/node';
import { type RunConfig, settings } from '@moco-ts/run';
import type { Command } from 'commander';
import { type Io, remarkTo } from '../io.ts';
import { named, setting } from './flags.ts';
import { trainAs } from './train.ts';

const DATA = 'emoji';
/** In seconds, what two cores need for it. */
const TIME = 240;

interface DemoOptions {
  readonly out: string;
  readonly seed: number;
  readonly time?: number;
  readonly epochs?: number;
}

export function demoCommand(program: Command, io: Io, finish: (code: number) => void): void {
  program
    .command('demo')
    .summary('learn on emoji in minutes, from nothing to an ONNX model')
    .description(
      `moco train ${DATA}, for ${TIME / 60} minutes: emoji as two designers drew them, measured on emoji that the encoder never saw.`,
    )
    .option('--out <folder>', 'run folder; an earlier demo there is replaced', join('runs', 'demo'))
    .option('--seed <n>', 'decides weights, order and views', setting('seed'), 0)
    .option('--time <duration>', `end after this time (${TIME / 60}m)`, named(settings.time.rule))
    .option('--epochs <n>', 'end after so many passes over the images instead', setting('epochs'))
    .addHelpText('after', '\nExamples:\n  moco demo\n  moco demo --seed 1 --out runs/demo-1')
    .action(async (options: DemoOptions) => finish(await demo(options, io)));
}

async function demo({ out, seed, epochs, time }: DemoOptions, io: Io): Promise<number> {
  const lock = await lockFolder(out, remarkTo(io));
  try {
    await clear(out);
    const end =
      epochs === undefined ? { time: time ?? TIME } : { epochs, ...(time !== undefined && { time }) };
    return await trainAs(
      { flags: { data: DATA, seed, ...end }, out, lock },
      io,
      aliasLine(process.env, process.argv),
    );
  } finally {
    lock.release();
  }
}

/**
 * What gives the command its name, for whom `npm run demo` in a checkout is the first one; empty for all others.
 * @param args with the program's path second, as of a process
 */
export function aliasLine(
  { npm_lifecycle_event: script }: NodeJS.ProcessEnv,
  [, program]: readonly string[],
): string {
  return script === 'demo' && program ? `Here moco is: alias moco='node "${program}"'\n` : '';
}

/** The demo starts from nothing each time; only what a run writes is removed, and only one of `train`, which leaves train.json. */
async function clear(folder: string): Promise<void> {
  const text = await textIfThere(join(folder, 'config.json'));
  if (text !== undefined && dataOf(text) !== DATA)
    throw new UserError(`${folder} holds a run on other images; choose another --out`, {
      code: 'file-taken',
    });
  if ((await holdsRun(folder)) && (await textIfThere(join(folder, 'train.json'))) === undefined)
    throw new UserError(`${folder} holds a run of another command; choose another --out`, {
      code: 'file-taken',
    });
  const own =
    /^(checkpoint-.*\.safetensors(\.damaged|\.diverged)?|(latest|best|config|train)\.json|(log|skipped)\.jsonl|model\.onnx|report\.html|events\.out\.tfevents\..*)$/;
  for (const name of await namesIn(folder)) if (own.test(name)) await rm(join(folder, name), { force: true });
}

/** The data of a run by its record; undefined for what is none. */
function dataOf(record: string): string | undefined {
  try {
    return (JSON.parse(record) as { readonly config?: Partial<RunConfig> } | null)?.config?.data;
  } catch {
    return undefined;
  }
}
