import { basename, dirname, join } from 'node:path';
import { hasHead, type Params, UserError, under, type Wording } from '@moco-ts/core';
import { createPool } from '@moco-ts/data';
import {
  asStored,
  bytes,
  type EvaluationEvents,
  type ExportedModel,
  type ExportSettings,
  leftOut,
  lockFolder,
  lockOutput,
  type Measures,
  makeFolder,
  makeModel,
  measureRows,
  modelCard,
  modelFiles,
  openBackend,
  openData,
  openEncoder,
  openEvaluation,
  openModel,
  type PrecisionName,
  precisions,
  readClassifier,
  registerPlugins,
  skipList,
  tensorNames,
  textIfThere,
  transformersConfigs,
  usualKnn,
  withOpened,
  writeAtomic,
} from '@moco-ts/node';
import { largestHalf } from '@moco-ts/onnx';
import type { RunConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import { type Io, noteTo, remarkTo, warnTo } from '../io.ts';
import { integer, oneOf, setting } from './flags.ts';
import { dataOf, lineOf } from './next.ts';

interface ExportOptions {
  readonly output: string;
  readonly withHead?: boolean;
  readonly withClassifier?: boolean;
  readonly withPreprocess?: boolean;
  readonly tokens?: boolean;
  readonly precision: PrecisionName;
  readonly calibrate?: string;
  readonly measure?: boolean;
  readonly maxBad?: number;
  readonly transformersJs?: boolean;
  readonly card: boolean;
  readonly opset?: number;
  readonly plugin?: readonly string[];
}

export function exportCommand(program: Command, io: Io): void {
  program
    .command('export')
    .summary('write the trained encoder as an ONNX model')
    .description(
      'Writes the query encoder as an ONNX model with a free batch, and runs it once in ONNX Runtime: its features must be those of the trainer. A model card (Markdown) is written beside it.',
    )
    .argument(
      '<run>',
      'run folder, checkpoint, a file that moco import takes, or with --with-classifier a best.safetensors',
    )
    .requiredOption('-o, --output <file>', 'the model; with --transformers-js a folder')
    .option('--with-head', 'with the contrastive head: unit vectors')
    .option('--with-classifier', 'with the classifier of moco lincls or finetune: logits')
    .option('--with-preprocess', 'take raw uint8 images [N, H, W, 3] of any size')
    .option('--tokens', "a second output: features of the image's places (patches), [N, T, D]")
    .option(
      '--precision <name>',
      `${precisions.join(', ')}: half or a quarter of the bytes`,
      oneOf(precisions),
      'fp32',
    )
    .option(
      '--calibrate <data>',
      'int8, fp16: images that tell the ranges of values; int8 without finds them as they come',
    )
    .option('--measure', 'kNN accuracy, or retrieval, before and after the export')
    .option(
      '--max-bad <n>',
      "damaged images that are left out before it is an error (the run's)",
      setting('maxBad'),
    )
    .option('--transformers-js', 'a folder that transformers.js loads')
    .option('--no-card', 'without the model card')
    .option('--opset <n>', 'ONNX opset, 18 to 23 (18)', integer(18, 23))
    .addHelpText(
      'after',
      `
Examples:
  moco export runs/emoji -o emoji.onnx
  moco export runs/photos -o photos.onnx --with-preprocess
  moco export dinov2.pth -o patches.onnx --tokens
  moco export runs/photos -o small.onnx --precision int8 --calibrate photos/ \\
      --measure
  moco export runs/photos -o photos-web/ --transformers-js
  moco export runs/probe/best.safetensors -o classes.onnx --with-classifier`,
    )
    .action((run: string, options: ExportOptions) => exportRun(run, options, io));
}

async function exportRun(run: string, options: ExportOptions, io: Io): Promise<void> {
  if (!options.transformersJs && !options.output.endsWith('.onnx'))
    throw new UserError(`-o ${options.output}: the model's name should end in .onnx`, {
      code: 'setting-invalid',
      setting: 'output',
    });
  await registerPlugins();
  const warn = warnTo(io);
  const source = withMaxBad(
    options.withClassifier ? await classifierOf(run) : await encoderOf(run, warn, remarkTo(io)),
    options.maxBad,
  );
  checkOptions(options, source);
  const { output, transformersJs } = options;
  const lock = await (transformersJs ? lockFolder(output, warn) : lockOutput(output, warn));
  try {
    await writeExport(run, options, source, io);
  } finally {
    lock.release();
  }
}

async function writeExport(run: string, options: ExportOptions, source: Source, io: Io): Promise<void> {
  const warn = warnTo(io);
  const skips = skipList(warn);
  const events = { note: noteTo(io), onSkip: skips.onSkip };
  const {
    output,
    precision,
    calibrate,
    transformersJs = false,
    withHead = false,
    withPreprocess = false,
    tokens = false,
  } = options;
  const { path, config, params, commit, classes } = source;
  const calibration =
    calibrate === undefined
      ? undefined
      : await openData({ ...config, data: calibrate }, 'train', events.note);
  const settings: ExportSettings = {
    withHead,
    withPreprocess,
    tokens,
    precision,
    ...(calibration && { calibration: { dataset: calibration, onSkip: skips.onSkip } }),
    ...(classes && { classes }),
    ...(options.opset !== undefined && { opset: options.opset }),
    ...(commit !== undefined && { commit }),
    ...(transformersJs && { names: tensorNames(classes !== undefined) }),
  };
  const model = await makeModel(config, params, settings);
  if (model.largest !== undefined && model.largest > largestHalf / 4)
    warn(
      `its values reach ${model.largest.toFixed(0)} of the ${largestHalf} that fp16 holds: of other images they may reach more, and its features be no numbers`,
    );
  const measured = options.measure ? await measureBoth(source, settings, model, events) : undefined;
  const file = transformersJs ? join(output, modelFiles[precision]) : output;
  await makeFolder(dirname(file));
  await writeAtomic(file, model.bytes);
  if (transformersJs)
    for (const [name, content] of Object.entries(transformersConfigs(config, settings, model.dim)))
      await writeAtomic(join(output, name), `${JSON.stringify(content, null, 2)}\n`);
  const places = model.tokens ? ` and ${model.tokens[0]} tokens of ${model.tokens[1]}` : '';
  const given = `${classes ? 'logits' : 'features'}${places && ' and tokens'}`;
  io.show(
    `${file}: ${config.arch} of ${path}, ${model.dim} ${classes ? 'classes' : 'features'}${places}, ${bytes(model.bytes.length)}\n` +
      `ONNX Runtime gives the trainer's ${given} ${closeness(model, precision)}.\n`,
  );
  if (measured) tellMeasures(measured, io);
  if (options.card) await writeCard(options, source, settings, model, measured, warn);
  const { dim, difference, cosine } = model;
  const facts = {
    path: file,
    arch: config.arch,
    precision,
    dim,
    tokens: model.tokens,
    bytes: model.bytes.length,
  };
  io.result(
    { ...facts, ...(precision === 'fp32' ? { difference } : { cosine }), measured, skipped: skips.count },
    leftOut(skips),
  );
  // A model that takes images as they are can be embedded with itself.
  const embedder = withPreprocess && !transformersJs ? file : run;
  const { plugin = config.plugin } = options;
  io.next(
    classes
      ? lineOf('lincls', [path, '-e'], { plugin })
      : lineOf(
          'embed',
          [embedder, source.images === 0 ? 'photos/' : dataOf(config), '--out', 'vectors.parquet'],
          { plugin },
        ),
  );
}

/** The model card, beside the model. */
async function writeCard(
  { transformersJs = false, output, precision }: ExportOptions,
  { config, epochs, images, losses }: Source,
  settings: ExportSettings,
  { bytes: { length: size }, dim, tokens }: ExportedModel,
  measured: readonly Figures[] | undefined,
  warn: (text: Wording) => void,
): Promise<void> {
  const path = transformersJs ? join(output, 'README.md') : output.replace(/\.onnx$/, '.md');
  const file = transformersJs ? modelFiles[precision] : basename(output);
  const facts = { config, settings, file, size, dim, epochs, images, losses };
  const text = modelCard({ ...facts, ...(tokens && { tokens }), ...(measured && { measured }) });
  if (await mayReplace(path)) await writeAtomic(path, text);
  else warn(`${path} is there already and no card of this program: the model card was not written`);
}

function checkOptions(
  { withHead, withPreprocess, tokens, precision, calibrate, measure, transformersJs }: ExportOptions,
  source: Source,
): void {
  const { path, params, classes } = source;
  if (transformersJs && withPreprocess)
    throw new UserError(
      '--transformers-js and --with-preprocess exclude each other: transformers.js prepares images itself',
      { code: 'setting-conflict', setting: 'transformersJs' },
    );
  if (transformersJs && tokens)
    throw new UserError('--transformers-js and --tokens exclude each other: its pipelines take one output', {
      code: 'setting-conflict',
      setting: 'tokens',
    });
  if (withHead && (classes || !hasHead(params)))
    throw new UserError(`${path} has no contrastive head: leave --with-head out`, {
      code: 'setting-conflict',
      setting: 'withHead',
    });
  if (calibrate !== undefined && precision === 'fp32')
    throw new UserError('--calibrate is for --precision int8 and fp16', {
      code: 'setting-conflict',
      setting: 'calibrate',
    });
  if (measure && classes)
    throw new UserError('--measure is for features; a classifier is measured by moco lincls -e', {
      code: 'setting-conflict',
      setting: 'measure',
    });
}

function closeness({ difference, cosine }: ExportedModel, precision: PrecisionName): string {
  return precision === 'fp32'
    ? `within ${difference.toExponential(1)}`
    : `with a mean cosine of ${cosine.toFixed(4)}`;
}

interface Figures {
  readonly name: string;
  readonly measures: Measures;
}

/** The trainer's features and the model's, on the data of the run. */
async function measureBoth(
  { path, config, params }: Source,
  { precision = 'fp32', ...settings }: ExportSettings,
  model: ExportedModel,
  events: EvaluationEvents,
): Promise<Figures[]> {
  const evaluation = await asStored(path, () => openEvaluation(config, usualKnn, events));
  return withOpened(async (keep) => {
    const backend = keep(await openBackend('ort'));
    const pool = keep(createPool(config.workers));
    // Measured on images that are ready: a model that prepares them itself computes the same.
    const plain = settings.withPreprocess
      ? (await makeModel(config, params, { ...settings, precision, withPreprocess: false })).bytes
      : model.bytes;
    const session = keep(await openModel(plain));
    const { imageSize: size } = config;
    const area = 3 * size * size;
    const { timing: _, ...before } = await evaluation.run(backend, params, pool);
    const extract = async (data: Float32Array) =>
      (await session.run('float32', data, [data.length / area, 3, size, size])).first;
    const { timing: __, ...after } = await evaluation.measure({ dim: model.dim, extract }, backend, pool);
    return [
      { name: 'trained', measures: before },
      { name: `exported, ${precision}`, measures: after },
    ];
  });
}

function tellMeasures([before, after]: readonly Figures[], io: Io): void {
  const exported = new Map(measureRows(after!.measures));
  for (const [name, value] of measureRows(before!.measures)) {
    const now = exported.get(name)!;
    const change = now - value;
    io.show(
      `  ${name.padEnd(32)}${value.toFixed(2)} -> ${now.toFixed(2)} % (${change < 0 ? '' : '+'}${change.toFixed(2)})\n`,
    );
  }
}

/** A card of an earlier export may be written over, a page of the user's not. */
async function mayReplace(card: string): Promise<boolean> {
  const text = await textIfThere(card);
  return text === undefined || text.includes('exported by MoCo.ts');
}

/** What there is to export. */
interface Source {
  readonly path: string;
  readonly config: RunConfig;
  readonly params: Params;
  readonly commit?: string;
  readonly classes?: readonly string[];
  readonly epochs: number;
  readonly images: number;
  readonly losses: readonly number[];
}

function withMaxBad(source: Source, maxBad: number | undefined): Source {
  return maxBad === undefined ? source : { ...source, config: { ...source.config, maxBad } };
}

async function encoderOf(
  run: string,
  warn: (text: Wording) => void,
  note: (text: string) => void,
): Promise<Source> {
  const { path, info, tensors } = await openEncoder(run, warn, note);
  const { config, commit, epoch, step, images, losses } = info;
  // In mid-epoch with its part.
  const epochs = step === 0 ? epoch : Number((epoch + (step * config.batchSize) / images).toFixed(2));
  return {
    path,
    config,
    params: under('q', tensors),
    epochs,
    images,
    losses,
    ...(commit !== undefined && { commit }),
  };
}

async function classifierOf(file: string): Promise<Source> {
  const { path, info, tensors } = await readClassifier(file);
  const { run: config, classes, epoch: epochs } = info;
  return { path, config, params: under('q', tensors), classes, epochs, images: 0, losses: [] };
}
