import { UserError } from '@moco-ts/core';
import {
  bytes,
  defaultWorkers,
  registerPlugins,
  stepText,
  type Timed,
  timeSteps,
  withOutput,
  writeAtomic,
} from '@moco-ts/node';
import { methodOf, type RunConfig, resolveConfig, takes } from '@moco-ts/run';
import type { Command } from 'commander';
import { type Io, noteTo } from '../io.ts';
import { inFlags } from '../words.ts';
import { integer, names } from './flags.ts';
import { addRecipeOptions } from './pretrain-options.ts';
import { namedFlags, type RecipeOptions } from './recipe.ts';

interface BenchOptions extends RecipeOptions {
  readonly backends?: readonly string[];
  readonly steps: number;
  readonly dump?: string;
}

export function benchCommand(program: Command, io: Io): void {
  const command = program
    .command('bench')
    .summary('time a training step on this machine')
    .description(
      'Times whole training steps of a recipe on noise, on one or several backends: medians, spread, images a second, and the time to the first step. Takes the flags of pretrain.',
    )
    .option('--backends <names>', 'several, one after the other, as ort,tfjs:wasm', names)
    .option('--steps <n>', 'steps that are timed, behind two that are not', integer(1, 1_000_000), 10)
    .option(
      '--dump <file>',
      "write the step as its backend's engine takes it, and time nothing (xla: StableHLO)",
    )
    .action((options: BenchOptions) => bench(options, io));
  addRecipeOptions(command).addHelpText(
    'after',
    `
Examples:
  moco bench --method moco-v2 -a resnet18 --image-size 64 -b 64 --moco-k 4096
  moco bench -a resnet-tiny --image-size 32 -b 32 --moco-k 1024 \\
      --backends ort,tfjs:wasm`,
  );
}

async function bench(options: BenchOptions, io: Io): Promise<void> {
  const { backends, steps, dump, ...recipe } = options;
  await registerPlugins();
  const config = resolveConfig(
    { ...namedFlags(undefined, recipe), data: 'noise' },
    { source: { data: 'noise', split: 'train' } },
    defaultWorkers(),
  );
  if (dump !== undefined) return write(config, backends ?? [config.backend], dump, io);
  io.say(`${describe(config)}\n\n`);
  const timed: object[] = [];
  const failures: string[] = [];
  row(['BACKEND', 'S A STEP', 'QUARTILES', 'IMG/S', 'FIRST STEP', 'STATE'], io);
  for (const name of backends ?? [config.backend]) {
    try {
      const times = await timeSteps(config, name, steps);
      tell(times, config, io);
      timed.push({ ...times, median: quantile(times.secondsPerStep, 0.5) });
    } catch (error) {
      // Of several the others are still of use.
      if (!(error instanceof UserError) || backends === undefined) throw error;
      failures.push(inFlags(error.text));
    }
  }
  for (const failure of failures) io.tell('warning', failure);
  const { method, arch, imageSize, batchSize } = config;
  io.result({ method, arch, imageSize, batchSize, timed });
  io.next('moco backends');
}

/** Writes out what the engine of a backend is given. */
async function write(
  config: RunConfig,
  [backend, ...others]: readonly string[],
  path: string,
  io: Io,
): Promise<void> {
  if (backend === undefined || others.length > 0)
    throw new UserError('--dump writes the step of one backend: name one', { code: 'setting-conflict' });
  const text = await stepText(config, backend);
  await withOutput(path, noteTo(io), () => writeAtomic(path, text));
  io.result(
    { path, backend, bytes: text.length },
    `Wrote ${path}: ${describe(config)}, as ${backend} gives it to its engine (${bytes(text.length)})\n`,
  );
}

function tell(timed: Timed, { batchSize }: RunConfig, io: Io): void {
  const { backend, secondsPerStep, secondsToFirstStep, stateBytes } = timed;
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(secondsPerStep, share));
  row(
    [
      backend,
      middle!.toFixed(3),
      `${low!.toFixed(3)}-${high!.toFixed(3)}`,
      (batchSize / middle!).toFixed(0),
      `${secondsToFirstStep.toFixed(1)} s`,
      bytes(stateBytes),
    ],
    io,
  );
}

function row([name, ...cells]: readonly string[], io: Io): void {
  io.show(`${name!.padEnd(14)}${cells.map((cell) => cell.padStart(13)).join('')}\n`);
}

function describe(config: RunConfig): string {
  const { method, arch, imageSize, batchSize, mocoK, optimizer } = config;
  const queue = takes(methodOf(config), 'mocoK') ? `, K ${mocoK}` : '';
  return `A step of ${method}: ${arch} at ${imageSize} px, batch ${batchSize}${queue}, ${optimizer}`;
}

/** By linear interpolation. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * (sorted[Math.min(low + 1, sorted.length - 1)]! - sorted[low]!);
}
