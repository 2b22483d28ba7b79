/** What `moco lincls` and `moco finetune` share: both train a classifier on an encoder, and differ in what else is trained. */

import { basename, join, resolve } from 'node:path';
import { counted, type Params, UserError, under } from '@moco-ts/core';
import { createPool } from '@moco-ts/data';
import {
  asStored,
  type ClassifierFile,
  type ClassifierRecipe,
  type ClassifyJob,
  catchInterrupts,
  classify,
  defaultWorkers,
  entryIfThere,
  labelsFor,
  leftOut,
  lockFolder,
  type Note,
  openBackend,
  openEncoder,
  openLabelled,
  openLabelledTest,
  readClassifier,
  registerPlugins,
  removePartial,
  skipList,
  validation,
} from '@moco-ts/node';
import { initialParams, type RunConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import { asNext, type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { createReporter } from '../reporter.ts';
import { milestones, setting } from './flags.ts';
import { lineOf } from './next.ts';
import { logOption } from './pretrain-options.ts';

export type Defaults = Omit<ClassifierRecipe, 'data' | 'holdOut' | 'cacheFeatures'>;

interface ClassifierOptions extends Partial<Omit<ClassifierRecipe, 'train' | 'data' | 'wd'>> {
  readonly pretrained?: string;
  readonly weightDecay?: number;
  readonly random?: boolean;
  readonly evaluate?: boolean;
  readonly resume?: boolean;
  readonly out?: string;
  readonly maxBad?: number;
  readonly printFreq: number;
  readonly log?: readonly string[];
  readonly workers?: number;
  readonly backend: string;
  readonly threads?: number;
  readonly plugin?: readonly string[];
}

export function addClassifierOptions(command: Command, defaults: Defaults): Command {
  const { epochs, batchSize, lr, momentum, wd, schedule, cropMin } = defaults;
  command
    .argument('[run]', 'run folder or checkpoint; with -e a classifier')
    .argument('[data]', "labelled data, if not the run's")
    .option('--pretrained <file>', 'what RUN would name, as in the official command: DATA comes first')
    .option('--epochs <n>', `epochs in all (${epochs})`, setting('epochs'))
    .option('-b, --batch-size <n>', `images in a step (${batchSize})`, setting('batchSize'))
    .option('--lr <x>', `learning rate (${lr})`, setting('lr'))
    .option(
      '--schedule <epochs...>',
      `epochs at which the rate falls tenfold (${schedule.join(' ')})`,
      milestones,
    )
    .option('--cos', `cosine schedule${defaults.cos ? ' (on)' : ''}`)
    .option('--no-cos', `step schedule${defaults.cos ? '' : ' (on)'}`)
    .option('--momentum <x>', `SGD's momentum (${momentum})`, setting('momentum'))
    .option('--wd, --weight-decay <x>', `weight decay (${wd})`, setting('wd'))
    .option('--crop-min <x>', `least share of the area in a crop (${cropMin})`, setting('cropMin'))
    .option('--seed <n>', 'decides the classifier, order and views (0)', setting('seed'))
    .option('-e, --evaluate', 'only measure a trained classifier: RUN is its best.safetensors')
    .option('--resume', 'go on in --out')
    .option('--out <folder>', 'where classifier and log are written')
    .option('--hold-out <x>', "share of an image folder kept for testing (the run's)", setting('holdOut'))
    .option(
      '--max-bad <n>',
      "damaged images that are left out before it is an error (the run's)",
      setting('maxBad'),
    )
    .option('-p, --print-freq <n>', 'steps between lines of the log', setting('printFreq'), 10)
    .addOption(logOption())
    .option('-j, --workers <n>', 'threads that make images (cores - 1, at most 8)', setting('workers'))
    .option('--backend <name>', 'what computes; see moco backends', 'ort')
    .option('--threads <n>', 'threads of the backend (all cores)', setting('threads'));
  return command;
}

interface Given {
  /** The first two words behind the command. */
  readonly path: string | undefined;
  readonly data: string | undefined;
  readonly options: ClassifierOptions;
  /** What no flag says, by the encoder's arch and the batch that was asked for. */
  readonly recipe: (arch: string, batchSize?: number) => Defaults;
  readonly command: string;
}

/** Encoder and data: `RUN [DATA]`, or `[DATA] --pretrained FILE`. */
function named({ path, data, options, command }: Given): { path: string; data: string | undefined } {
  const { pretrained } = options;
  if (pretrained === undefined && path !== undefined) return { path, data };
  if (pretrained === undefined)
    throw new UserError(`moco ${command} needs RUN: a run folder, a checkpoint, or --pretrained FILE`, {
      code: 'setting-missing',
      setting: 'pretrained',
    });
  if (data !== undefined)
    throw new UserError(
      `--pretrained names the encoder, so what remains is DATA alone: leave ${path} or ${data} out`,
      { code: 'setting-conflict', setting: 'pretrained' },
    );
  return { path: pretrained, data: path };
}

/** @returns the exit code */
export async function classifierCommand(given: Given, io: Io): Promise<number> {
  await registerPlugins();
  const { options, recipe: recipeFor, command } = given;
  const { path, data } = named(given);
  if (options.evaluate) return evaluate(path, data, options, io);
  const warn = warnTo(io);
  const note = noteTo(io);
  const checkpoint = await openEncoder(path, warn, remarkTo(io));
  const run = checkpoint.info.config;
  const asked = recipeOf(recipeFor(run.arch, options.batchSize), options, run, data);
  const open = () => openLabelled(asked, note);
  const sets = await (data === undefined ? asStored(checkpoint.path, open) : open());
  const recipe = options.batchSize === undefined ? fitted(asked, sets.train.length, options, note) : asked;
  const folder = options.out ?? join('runs', `${basename(resolve(path))}-${command}`);
  const reporter = createReporter(io, options.printFreq);
  const lock = await lockFolder(folder, reporter.note);
  const stop = catchInterrupts(() => reporter.note('Stopping after this step.'));
  const params: Params = options.random ? initialParams(run) : under('q', checkpoint.tensors);
  const encoder = options.random ? 'random' : checkpoint.path;
  try {
    await removePartial(folder);
    const resume = await findResume(folder, recipe, options);
    const { classes, train, test } = labelsFor(sets, resume, note);
    return await withEngines(options, async (engines) => {
      const skips = skipList(reporter.warn, folder);
      const what = recipe.train === 'linear' ? 'linear classifier on the frozen' : 'all layers of the';
      reporter.note(
        `${what} ${run.arch} of ${encoder}: ${counted(train.dataset.length, 'image')} in ${classes.length} classes, ${counted(recipe.epochs, 'epoch')}, batch ${recipe.batchSize}`,
      );
      if (recipe.cacheFeatures)
        reporter.note(
          'Features are computed once, from whole images: quicker, but without random crops and flips; figures differ from those of the papers by a point or so.',
        );
      const info = { recipe, run, encoder };
      const { printFreq, log } = options;
      const maxBad = options.maxBad ?? run.maxBad;
      const settings = { info, params, classes, train, test, folder, lock, reporter, stop, printFreq, log };
      const job: ClassifyJob = {
        ...settings,
        ...engines,
        onSkip: skips.onSkip,
        ...(maxBad !== undefined && { maxBad }),
        ...(resume && { resume }),
      };
      const { outcome, epoch, bestAcc1, last } = await classify(job);
      io.say(leftOut(skips));
      const result = { outcome, folder, epoch, skipped: skips.count };
      if (outcome === 'stopped') {
        io.result(result, `Stopped after epoch ${epoch}. Go on with the same line and --resume.\n`);
        return 130;
      }
      const file = join(folder, 'best.safetensors');
      const best = bestAcc1 < 0 ? `${file} is gone` : `best Acc@1 ${bestAcc1.toFixed(2)} %: ${file}`;
      io.result(
        { ...result, ...last, bestAcc1, file },
        `Test Acc@1 ${last.acc1.toFixed(2)} %, Acc@5 ${last.acc5.toFixed(2)} %; ${best}\n`,
      );
      const { plugin = run.plugin } = options;
      const model = join(folder, 'classifier.onnx');
      const exporting = lineOf('export', [file, '-o', model, '--with-classifier'], { plugin });
      io.say(asNext(lineOf('report', [folder], { plugin }), exporting));
      return 0;
    });
  } finally {
    stop.release();
    lock.release();
  }
}

function recipeOf(
  defaults: Defaults,
  options: ClassifierOptions,
  run: RunConfig,
  data: string | undefined,
): ClassifierRecipe {
  const { weightDecay, holdOut = run.holdOut, cacheFeatures = false } = options;
  const chosen = (Object.keys(defaults) as (keyof Defaults)[]).filter(
    (key) => (options as Partial<Defaults>)[key] !== undefined,
  );
  return {
    ...defaults,
    ...Object.fromEntries(chosen.map((key) => [key, (options as Partial<Defaults>)[key]])),
    ...(weightDecay !== undefined && { wd: weightDecay }),
    data: data ?? run.data,
    ...(holdOut !== undefined && { holdOut }),
    cacheFeatures,
  };
}

async function findResume(
  folder: string,
  recipe: ClassifierRecipe,
  { resume, out }: ClassifierOptions,
): Promise<ClassifierFile | undefined> {
  const path = join(folder, 'latest.safetensors');
  if ((await entryIfThere(path)) === undefined) return undefined;
  if (!resume)
    throw new UserError(
      `${folder} holds a classifier already; go on with --resume, or choose ${out ? 'another' : 'an'} --out`,
      { code: 'file-taken' },
    );
  const stored = await readClassifier(path);
  const { epochs: _, ...before } = stored.info.recipe;
  const { epochs: __, ...now } = recipe;
  for (const key of Object.keys(now) as (keyof typeof now)[])
    if (JSON.stringify(before[key]) !== JSON.stringify(now[key]))
      throw new UserError(
        `${path} was trained with ${key} ${before[key]}, and can't go on with ${now[key]}; give the same flags`,
        { code: 'setting-conflict', setting: key, value: now[key] },
      );
  return stored;
}

type Engines = Pick<ClassifyJob, 'backend' | 'pool'>;

async function withEngines<T>(
  { backend: name, threads, workers }: ClassifierOptions,
  use: (engines: Engines) => Promise<T>,
): Promise<T> {
  const backend = await openBackend(name, {
    deterministic: true,
    ...(threads !== undefined && { threads }),
  });
  const pool = createPool(workers ?? defaultWorkers());
  try {
    return await use({ backend, pool });
  } finally {
    await pool.close();
    await backend.dispose();
  }
}

async function evaluate(
  path: string,
  data: string | undefined,
  options: ClassifierOptions,
  io: Io,
): Promise<number> {
  const { info, tensors } = await readClassifier(path);
  const { classes, run } = info;
  const recipe = { ...info.recipe, ...(data !== undefined && { data }) };
  const open = () => openLabelledTest(recipe, classes, path, noteTo(io));
  const set = await (data === undefined ? asStored(path, open) : open());
  const maxBad = options.maxBad ?? run.maxBad;
  const skips = skipList(warnTo(io));
  return withEngines(options, async (engines) => {
    const params = under('q', tensors);
    const job = { info, params, ...engines, onSkip: skips.onSkip, ...(maxBad !== undefined && { maxBad }) };
    const { acc1, acc5 } = await validation(job, set, params, classes.length);
    io.say(leftOut(skips));
    io.result(
      { path, acc1, acc5, skipped: skips.count },
      `${path}: test Acc@1 ${acc1.toFixed(2)} %, Acc@5 ${acc5.toFixed(2)} %\n`,
    );
    const { plugin = run.plugin } = options;
    io.next(lineOf('export', [path, '-o', 'classifier.onnx', '--with-classifier'], { plugin }));
    return 0;
  });
}

/**
 * A recipe for fewer images than its default batch: a batch that gives two steps an epoch, and the default rate made
 * smaller with it.
 */
function fitted(
  recipe: ClassifierRecipe,
  images: number,
  { lr }: ClassifierOptions,
  note: Note,
): ClassifierRecipe {
  if (recipe.batchSize <= images) return recipe;
  const batchSize = 2 ** Math.max(0, Math.floor(Math.log2(images / 2)));
  const scaled = lr ?? Number(((recipe.lr * batchSize) / recipe.batchSize).toPrecision(3));
  note(
    `batch ${batchSize}${lr === undefined ? ` and lr ${scaled}` : ''}, not ${recipe.batchSize}${lr === undefined ? ` and ${recipe.lr}` : ''}: there are ${images} images to train on`,
  );
  return { ...recipe, batchSize, lr: scaled };
}
