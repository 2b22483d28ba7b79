import { counted, type Params, under } from '@moco-ts/core';
import { createPool } from '@moco-ts/data';
import {
  asStored,
  leftOut,
  measureRows,
  openBackend,
  openEncoder,
  openEvaluation,
  registerPlugins,
  skipList,
  usualKnn,
  withOpened,
} from '@moco-ts/node';
import { initialParams } from '@moco-ts/run';
import { type Command, Option } from 'commander';
import { type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { names, neighbours, setting } from './flags.ts';
import { lineOf } from './next.ts';

interface KnnOptions {
  readonly neighbours: number;
  readonly temperature: number;
  readonly baseline?: boolean;
  readonly random?: boolean;
  readonly plugin?: readonly string[];
  readonly backend?: string;
  readonly threads?: number;
  readonly workers?: number;
  readonly holdOut?: number;
  readonly designers?: string[];
  readonly labels: boolean;
  readonly maxBad?: number;
}

export function knnCommand(program: Command, io: Io): void {
  program
    .command('knn')
    .summary('measure features by their nearest neighbours')
    .description(
      'Measures the features of a trained encoder (without its head). With labels: weighted kNN accuracy on the test split, the train split being the bank. Without a test split a fifth of the images is held out. For emoji and unlabelled folders: R@1 on held-out images, which needs no label.',
    )
    .argument('<run>', 'run folder, checkpoint, or a file that moco import takes')
    .argument('[data]', 'data set, if not the one of the run')
    .option('-k, --neighbours <n>', 'neighbours that vote', neighbours, usualKnn.k)
    .option('-T, --temperature <x>', 'temperature of the votes', setting('mocoT'), usualKnn.temperature)
    .option(
      '--baseline',
      'measure the same network untrained too, which takes as long again (on for small sets)',
    )
    .option('--no-baseline', 'measure the trained network alone')
    .addOption(new Option('--random', "the baseline's earlier name").hideHelp())
    .option('--backend <name>', 'what computes', 'ort')
    .option('--threads <n>', 'threads of the backend (all cores)', setting('threads'))
    .option('-j, --workers <n>', "threads that read images (the run's)", setting('workers'))
    .option('--hold-out <x>', "share of an image folder for testing (the run's)", setting('holdOut'))
    .option('--no-labels', 'folders are no classes: measure retrieval')
    .option(
      '--max-bad <n>',
      "damaged images that are left out before it is an error (the run's)",
      setting('maxBad'),
    )
    .option('--designers <names>', "emoji: whose drawings (the run's)", names)
    .addHelpText(
      'after',
      `
Examples:
  moco knn runs/fashion-mnist-moco-v2-resnet18 /usr/share/datasets/fashion-mnist
  moco knn runs/emoji --no-baseline`,
    )
    .action((run: string, data: string | undefined, options: KnnOptions) => knn(run, data, options, io));
}

/** Pixels of all images up to which the baseline is a matter of a minute or two on two cores, whatever the encoder. */
const CHEAP = 2 ** 26;

async function knn(run: string, data: string | undefined, options: KnnOptions, io: Io): Promise<void> {
  await registerPlugins();
  const checkpoint = await openEncoder(run, warnTo(io), remarkTo(io));
  const { designers, holdOut, workers, labels, maxBad } = options;
  const config = {
    ...checkpoint.info.config,
    ...(data !== undefined && { data }),
    ...(designers && { designers }),
    ...(holdOut !== undefined && { holdOut }),
    ...(!labels && { labels }),
    ...(maxBad !== undefined && { maxBad }),
  };
  const k = { k: options.neighbours, temperature: options.temperature };
  const skips = skipList(warnTo(io));
  const open = () => openEvaluation(config, k, { note: noteTo(io), onSkip: skips.onSkip });
  const evaluation = await (data === undefined ? asStored(checkpoint.path, open) : open());
  const { threads } = options;
  await withOpened(async (keep) => {
    const backend = keep(
      await openBackend(options.backend ?? 'ort', threads === undefined ? {} : { threads }),
    );
    const pool = keep(createPool(workers ?? config.workers));
    const measure = async (title: string, params: Params) => {
      const { timing, ...measures } = await evaluation.run(backend, params, pool);
      io.show(`${title}\n`);
      for (const [name, value] of measureRows(measures))
        io.show(`  ${name.padEnd(32)}${value.toFixed(2).padStart(6)} %\n`);
      return { measures, timing };
    };
    const { path } = checkpoint;
    const { measures, timing } = await measure(path, under('q', checkpoint.tensors));
    const { images, featureSeconds, searchSeconds } = timing;
    const speed = Math.round(images / featureSeconds);
    io.show(
      `  ${counted(images, 'image')}, features ${featureSeconds.toFixed(1)} s (${speed} img/s), search ${searchSeconds.toFixed(1)} s\n`,
    );
    const isCheap = images * config.imageSize ** 2 <= CHEAP;
    const wanted = options.random ?? options.baseline ?? isCheap;
    const baseline = wanted
      ? (await measure('the same network, untrained', initialParams(config))).measures
      : undefined;
    const { guess } = evaluation;
    if (guess)
      io.show(
        `To compare with: ${counted(guess.classes, 'class', 'classes')}; always naming the most frequent one is right in ${guess.accuracy.toFixed(2)} %\n`,
      );
    const result = { path, ...measures, baseline, guess, ...timing, skipped: skips.count };
    const more = '--baseline measures the untrained network too, which takes as long again\n';
    io.result(result, `${wanted || options.baseline === false ? '' : more}${leftOut(skips)}`);
    const needs = { plugin: options.plugin ?? config.plugin, backend: options.backend };
    io.next(
      ...(guess ? [lineOf('lincls', [run, ...(data === undefined ? [] : [data])], needs)] : []),
      lineOf('export', [run, '-o', 'model.onnx'], needs),
    );
  });
}
