import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Params, quoted, UserError } from '@moco-ts/core';
import { createPool, type ImageDataset } from '@moco-ts/data';
import {
  catchInterrupts,
  currentCommit,
  defaultWorkers,
  type Evaluation,
  exportModel,
  type Lock,
  lockFolder,
  type Measures,
  measureRows,
  namesIn,
  openBackend,
  openData,
  openEvaluation,
  registerPlugins,
  skipList,
  textIfThere,
  train,
  withOpened,
} from '@moco-ts/node';
import { initialParams, presets, type RunConfig, resolveConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import pc from 'picocolors';
import { duration, percent } from '../format.ts';
import { type Io, noteTo, warnTo } from '../io.ts';
import { createReporter } from '../reporter.ts';
import { setting } from './flags.ts';

/** The recipe: what a small encoder learns on small drawings within minutes on two cores. */
const RECIPE = presets.emoji.flags;

/** What two cores need for it. */
const MINUTES = 4;

interface DemoOptions {
  readonly out: string;
  readonly seed: number;
  readonly epochs: number;
}

export function demoCommand(program: Command, io: Io, finish: (code: number) => void): void {
  program
    .command('demo')
    .summary('learn on emoji in minutes, from nothing to an ONNX model')
    .description(
      `Trains a small encoder on emoji as two designers drew them, measures it on emoji that it never saw, and writes it as an ONNX model. About ${MINUTES} minutes on two cores.`,
    )
    .option('--out <folder>', 'run folder; an earlier demo there is replaced', join('runs', 'demo'))
    .option('--seed <n>', 'decides weights, order and views', setting('seed'), RECIPE.seed)
    .option('--epochs <n>', 'fewer are quicker and worse', setting('epochs'), RECIPE.epochs)
    .addHelpText('after', '\nExamples:\n  moco demo\n  moco demo --seed 1 --out runs/demo-1')
    .action(async (options: DemoOptions) => finish(await demo(options, io)));
}

async function demo({ out, seed: chosen, epochs }: DemoOptions, io: Io): Promise<number> {
  await registerPlugins();
  const flags = { ...RECIPE, seed: chosen, epochs };
  const note = noteTo(io);
  const dataset = await openData(flags, 'train', note);
  const config = resolveConfig(flags, dataset, defaultWorkers());
  const { onSkip } = skipList(warnTo(io));
  const evaluation = await openEvaluation(config, { k: 200, temperature: 0.1 }, { note, onSkip });
  const lock = await lockFolder(out, (text) => io.out(`${text}\n`));
  try {
    await clear(out);
    return await learn({ out, config, dataset, evaluation, epochs, lock }, io);
  } finally {
    lock.release();
  }
}

interface Lesson {
  readonly out: string;
  readonly config: RunConfig;
  readonly dataset: ImageDataset;
  readonly evaluation: Evaluation;
  readonly epochs: number;
  readonly lock: Lock;
}

async function learn({ out, config, dataset, evaluation, epochs, lock }: Lesson, io: Io): Promise<number> {
  const { bold, dim } = pc.createColors(io.color);
  const minutes = Math.max(1, Math.round((MINUTES * epochs) / RECIPE.epochs));
  io.out(
    `${bold('MoCo learns to see emoji.')} ${dataset.length} drawings by ${config.designers!.join(' and ')}, no labels;\n` +
      `${evaluation.test.length} drawings of other emoji are kept for the test. About ${minutes} min on two cores.\n\n`,
  );
  const reporter = createReporter(io, config.printFreq);
  const stop = catchInterrupts(() => reporter.note('Stopping after this step.'));
  try {
    const measure = (params: Params): Promise<Measures> =>
      withOpened(async (keep) => {
        const backend = keep(await openBackend(config.backend));
        const pool = keep(createPool(config.workers));
        const { timing: _, ...measures } = await evaluation.run(backend, params, pool);
        return measures;
      });
    const before = await measure(initialParams(config));
    const result = await train({ config, dataset, folder: out, lock, reporter, stop });
    if (result.outcome === 'stopped') {
      const alias = aliasLine(process.env, process.argv);
      io.out(`Stopped. ${alias}Go on with: moco pretrain --resume ${quoted(out)}
`);
      return 130;
    }
    const after = await measure(result.params);
    const path = join(out, 'model.onnx');
    const commit = currentCommit();
    const settings = { withHead: false, withPreprocess: true, ...(commit !== undefined && { commit }) };
    const model = await exportModel(config, result.params, path, settings);
    const later = new Map(measureRows(after));
    io.out(`\n${bold('On emoji it never saw'.padEnd(36))}${'before'.padStart(9)}${'after'.padStart(12)}\n`);
    for (const [name, value] of measureRows(before)) {
      io.out(
        `${name.padEnd(36)}${percent(value).padStart(9)}${bold(percent(later.get(name)!).padStart(12))}\n`,
      );
    }
    io.out(
      `${dim('before: the same network, untrained. R@1: how often the nearest is the right.')}\n\n` +
        `Trained in ${duration(result.seconds)}. The model takes raw images and gives ${model.dim} numbers for\n` +
        `each; ONNX Runtime agrees with the trainer within ${model.difference.toExponential(0)}:\n` +
        `  ${bold(path)}\n\n` +
        aliasLine(process.env, process.argv) +
        `Next: ${bold('moco pretrain YOUR_FOLDER --method moco-v2 -a resnet18 --image-size 64')}\n`,
    );
    return 0;
  } finally {
    stop.release();
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

/** The demo starts from nothing each time; only what a run writes is removed. */
async function clear(folder: string): Promise<void> {
  const text = await textIfThere(join(folder, 'config.json'));
  if (text !== undefined && dataOf(text) !== RECIPE.data)
    throw new UserError(`${folder} holds a run on other images; choose another --out`, {
      code: 'file-taken',
    });
  const own =
    /^(checkpoint-.*\.safetensors(\.damaged|\.diverged)?|latest\.json|config\.json|(log|skipped)\.jsonl|model\.onnx|events\.out\.tfevents\..*)$/;
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
