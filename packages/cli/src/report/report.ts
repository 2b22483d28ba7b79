/** The page of a run: curves, images, settings. */
import { join } from 'node:path';
import { CheckpointError, counted, risingMomentum, say, UserError, under, type Wording } from '@moco-ts/core';
import type { ImageDataset } from '@moco-ts/data';
import {
  asStored,
  type Best,
  type ClassifierInfo,
  isWarmUpRise,
  measureRows,
  openBackend,
  openBest,
  openCheckpoint,
  openData,
  readBest,
  readClassifier,
  textIfThere,
} from '@moco-ts/node';
import {
  type Checkpoint,
  createMethod,
  currentNames,
  lastEpoch,
  lengthOf,
  methodOf,
  type RunConfig,
  type RunMethod,
  storedConfig,
  takes,
} from '@moco-ts/run';
import { duration } from '../format.ts';
import { escapeHtml, renderPage, table } from '../html/page.ts';
import { timeOf } from '../reporter.ts';
import { inFlags } from '../words.ts';
import { comparisonOf } from './comparison.ts';
import { type Curve, curve, measureCurve, pointsOf } from './curves.ts';
import { type History, type LogLine, readHistory } from './history.ts';
import { neighbourGrid, viewGrid } from './images.ts';

export interface ReportOptions {
  readonly backend: string;
  /** Called for each part that is missing. */
  readonly warn: (text: Wording) => void;
}

/** What `config.json` of a run folder holds. */
interface Recorded {
  readonly config?: RunConfig;
  readonly dataset?: { readonly name?: string; readonly images?: number };
  readonly backend?: Readonly<Record<string, unknown>>;
  readonly versions?: Readonly<Record<string, unknown>>;
  readonly machine?: Readonly<Record<string, unknown>>;
  readonly commit?: string;
}

/**
 * The report of a run folder of `pretrain`, `demo`, `lincls` or `finetune` as HTML: one page that loads nothing. What is
 * missing or damaged is left out and said.
 * @throws UserError when the folder holds no log
 */
export async function reportOf(folder: string, options: ReportOptions): Promise<string> {
  const history = await readHistory(folder);
  if (history.damaged > 0)
    options.warn(`${join(folder, 'log.jsonl')}: ${counted(history.damaged, 'line')} could not be read`);
  const classifier = await readClassifier(join(folder, 'latest.safetensors')).catch(() => undefined);
  const body = classifier
    ? classifierBody(folder, history, classifier.info)
    : await runBody(folder, history, options);
  return renderPage({ title: `MoCo.ts: ${folder}`, body, style: STYLE });
}

const STYLE = `
.images td { padding: .25rem .5rem .25rem 0; border: 0; vertical-align: top; font-size: .75rem; text-align: center; }
.images th { text-align: center; }
.images img { display: block; border-radius: 4px; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0; padding: 0; list-style: none; }
.figures b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.alarm { border-left: 3px solid #d55e00; padding-left: .75rem; }
@media print { body { max-width: none; padding: 0; } .card { break-inside: avoid; } }
`;

async function runBody(folder: string, history: History, options: ReportOptions): Promise<string> {
  const recorded = await readRecord(folder, options.warn);
  const checkpoint = await openCheckpoint(folder, options.warn).catch((error: Error) => {
    const reason = error instanceof UserError ? error.text : error.message;
    options.warn(say`${reason}: the report has no neighbours`);
    return undefined;
  });
  const best = await readBest(folder);
  const config = checkpoint?.info.config ?? recorded.config;
  if (!config)
    throw new CheckpointError(`${folder} has neither a checkpoint nor a config.json that can be read`);
  const { method, arch, imageSize, data, time, batchSize } = config;
  const epochs = lastEpoch(config);
  const last = history.epochs.at(-1);
  const figures: [string, string][] = [
    [
      'epochs',
      `${checkpoint?.info.epoch ?? history.epochs.length}${Number.isFinite(epochs) ? ` of ${epochs}` : ''}`,
    ],
    ...(time !== undefined && checkpoint?.info.time
      ? [['time', timeOf({ spent: checkpoint.info.time.spent, total: time })] as [string, string]]
      : []),
    ...(last ? [['loss', Number(last.loss).toFixed(3)] as [string, string]] : []),
    ...(best ? [['epoch of the best checkpoint', String(best.best.epoch)] as [string, string]] : []),
    ...measureRows((best ? chosenLine(history, best) : (history.evaluations.at(-1) ?? {})) as object).map(
      ([name, value]): [string, string] => [name, `${value.toFixed(2)} %`],
    ),
    ['from first to last line', spanOf(history)],
  ];
  return `<h1>${escapeHtml(`${method} on ${data}`)}</h1>
<p>${escapeHtml(`${arch} at ${imageSize} px, ${lengthOf(config)}, batch ${batchSize}; ${folder}`)}</p>
${figureList(figures)}
${remarks(history)}
${await comparisonOf(folder)}
<h2>Curves</h2>
<div class="panels">${runCurves(history, config, checkpoint?.info.images ?? imagesOf(recorded), best)}</div>
${await imageSections(folder, config, (await openBest(folder, options.warn)) ?? checkpoint, options)}
<h2>Settings</h2>
${settings(config)}
<h2>Made by</h2>
${madeBy(recorded)}`;
}

/** What was measured of the best checkpoint. */
const chosenLine = ({ evaluations }: History, { best }: Best) =>
  evaluations.findLast(({ globalStep }) => globalStep === best.globalStep) ?? {};

function imagesOf({ dataset }: Recorded): number | undefined {
  const images = dataset?.images;
  return Number.isSafeInteger(images) && images! > 0 ? images : undefined;
}

function runCurves(
  history: History,
  config: RunConfig,
  images: number | undefined,
  best: Best | undefined,
): string {
  const { steps, epochs, evaluations } = history;
  const { chance, warmUp } = images === undefined ? {} : createMethod(config, images);
  const level = chance && {
    value: chance.loss,
    label: `${chance.formula} = ${chance.loss.toFixed(2)}, a guess`,
  };
  const total = steps.reduce((most, { globalStep }) => Math.max(most, Number(globalStep)), 1);
  const done = (step: number) => Math.min(1, step / (total * (config.epochs / Math.max(1, epochs.length))));
  const method = methodOf(config);
  const keys = takes(method, 'mocoM') ? config.mocoM : undefined;
  const momenta = steps.map(({ globalStep, progress }) => ({
    x: Number(globalStep),
    y:
      config.mocoMCos && keys !== undefined
        ? risingMomentum(keys, typeof progress === 'number' ? progress : done(Number(globalStep)))
        : (keys ?? 0),
    series: 'm',
  }));
  const groups = method.metrics?.(config) ?? [];
  const own = groups.map(({ title, unit, labels, note, level }) =>
    curve({
      ...{ title, x: 'steps', y: unit, points: pointsOf(steps, 'globalStep', labels) },
      ...(note !== undefined && { note }),
      ...(level && { level }),
    }),
  );
  return [
    curve({
      title: 'Loss',
      x: 'steps',
      y: 'loss',
      points: [
        ...pointsOf(steps, 'globalStep', { loss: 'steps' }),
        ...pointsOf(epochs, 'globalStep', { loss: 'mean of an epoch' }),
      ],
      ...(level && { level }),
      ...warmUpArea(steps, warmUp),
    }),
    ...own,
    measureCurve(evaluations, best?.best.epoch),
    curve({
      title: 'Learning rate',
      x: 'steps',
      y: 'rate',
      points: pointsOf(steps, 'globalStep', { lr: 'rate' }),
    }),
    keys === undefined
      ? ''
      : curve({ title: 'Momentum of the key encoder', x: 'steps', y: 'm', points: momenta }),
    groups.some(({ labels }) => 'featureStd' in labels)
      ? ''
      : curve({
          title: 'Feature std of the queries',
          x: 'steps',
          y: 'standard deviation',
          points: pointsOf(steps, 'globalStep', { featureStd: 'feature std' }),
          level: { value: 1 / Math.sqrt(config.mocoDim), label: '1/√dim, vectors that fill the sphere' },
          note: 'Near zero the network has collapsed: it gives one vector for every image.',
        }),
    curve({
      title: 'Seconds of a step',
      x: 'steps',
      y: 'seconds',
      points: pointsOf(steps, 'globalStep', { time: 'whole step', data: 'waiting for images' }),
    }),
  ].join('\n');
}

/** Marks the steps in which the loss rose because the dictionary still held noise. */
function warmUpArea(steps: readonly LogLine[], warmUp: RunMethod['warmUp']): Pick<Curve, 'area' | 'note'> {
  const losses = pointsOf(steps, 'globalStep', { loss: 'steps' });
  const within = losses.filter(({ x }) => warmUp !== undefined && x < warmUp.steps);
  const [first] = within;
  if (!warmUp || first?.x !== 0 || !within.some(({ y }) => isWarmUpRise(first.y, y))) return {};
  return {
    area: { from: 0, to: Math.min(warmUp.steps, losses.at(-1)!.x) },
    note: `Grey: up to step ${warmUp.steps} the ${warmUp.dictionary} still holds noise, which is easy to tell from a positive, so the loss rises as it should.`,
  };
}

async function imageSections(
  folder: string,
  config: RunConfig,
  checkpoint: Checkpoint | undefined,
  { backend: name, warn }: ReportOptions,
): Promise<string> {
  let dataset: ImageDataset;
  const unreadable = (error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    warn(error.text);
    return `<p class="soft">${escapeHtml(inFlags(error.text))}</p>`;
  };
  try {
    dataset = await asStored(folder, () => openData(config, 'train', warn));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    warn(say`${error.text}: the report has no images`);
    return `<h2>Images</h2>\n<p class="soft">${escapeHtml(`The data set could not be opened: ${inFlags(error.text)}`)}</p>`;
  }
  const views = `<h2>What the network saw</h2>
<p class="soft">The views of the first step's first images, exactly as they were trained on.</p>
${await viewGrid(config, dataset).catch(unreadable)}`;
  if (!checkpoint) return views;
  const backend = await openBackend(name);
  try {
    const grid = await neighbourGrid(config, dataset, under('q', checkpoint.tensors), backend).catch(
      unreadable,
    );
    return `${views}
<h2>Nearest neighbours</h2>
<p class="soft">${escapeHtml(`By the features of ${checkpoint.path}, before its head; of images that it was trained on.`)}</p>
${grid}`;
  } finally {
    await backend.dispose();
  }
}

function classifierBody(folder: string, history: History, info: ClassifierInfo): string {
  const { recipe, run, encoder, classes, epoch, acc1, acc5, bestAcc1 } = info;
  const kind =
    recipe.train === 'linear' ? 'Linear classifier on a frozen encoder' : 'Classifier, all layers trained';
  const figures: [string, string][] = [
    ['epochs', `${epoch} of ${recipe.epochs}`],
    ['test Acc@1', `${acc1.toFixed(2)} %`],
    ['test Acc@5', `${acc5.toFixed(2)} %`],
    ['best Acc@1', `${bestAcc1.toFixed(2)} %`],
  ];
  const { steps, validations } = history;
  const accuracy = { acc1: 'Acc@1', acc5: 'Acc@5' };
  return `<h1>${escapeHtml(kind)}</h1>
<p>${escapeHtml(`${run.arch} of ${encoder}, ${classes.length} classes of ${recipe.data}; ${folder}`)}</p>
${figureList(figures)}
${remarks(history)}
<h2>Curves</h2>
<div class="panels">${[
    curve({
      title: 'Accuracy on the test split',
      x: 'epochs',
      y: 'percent',
      points: pointsOf(validations, 'epoch', accuracy),
    }),
    curve({ title: 'Loss', x: 'steps', y: 'loss', points: pointsOf(steps, 'globalStep', { loss: 'loss' }) }),
    curve({
      title: 'Accuracy in training',
      x: 'steps',
      y: 'percent',
      points: pointsOf(steps, 'globalStep', accuracy),
    }),
    curve({
      title: 'Learning rate',
      x: 'steps',
      y: 'rate',
      points: pointsOf(steps, 'globalStep', { lr: 'rate' }),
    }),
  ].join('\n')}</div>
<h2>Settings</h2>
${settings(recipe)}
<h2>Settings of the encoder</h2>
${settings(run)}`;
}

function figureList(figures: readonly (readonly [string, string])[]): string {
  const items = figures.map(([name, value]) => `<li><b>${escapeHtml(value)}</b>${escapeHtml(name)}</li>`);
  return `<ul class="figures">${items.join('')}</ul>`;
}

/** At most this many are listed on the page. */
const ALARMS = 20;

function remarks({ alarms, resumed, damaged }: History): string {
  const lines = [
    ...alarms.slice(0, ALARMS).map((text) => `<p class="alarm">${escapeHtml(text)}</p>`),
    ...(alarms.length > ALARMS
      ? [`<p class="alarm">${alarms.length - ALARMS} more stand in the log.</p>`]
      : []),
    ...(resumed > 0
      ? [`<p class="soft">Gone on with ${resumed === 1 ? 'once' : `${resumed} times`}.</p>`]
      : []),
    ...(damaged > 0 ? [`<p class="soft">${counted(damaged, 'line')} of the log could not be read.</p>`] : []),
  ];
  return lines.join('\n');
}

function spanOf({ began, ended }: History): string {
  if (began === undefined || ended === undefined) return 'unknown';
  return duration((Date.parse(ended) - Date.parse(began)) / 1000);
}

function settings(config: object): string {
  const rows = Object.entries(config).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(', ') : String(value),
  ]);
  return table(['setting', 'value'], rows, ['', '']);
}

function madeBy({ versions = {}, backend = {}, machine = {}, commit }: Recorded): string {
  const rows = Object.entries({ ...versions, ...backend, ...machine, ...(commit && { commit }) })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, String(value)]);
  return rows.length > 0 ? table(['', ''], rows, ['', '']) : '<p class="soft">Not recorded.</p>';
}

async function readRecord(folder: string, warn: (text: Wording) => void): Promise<Recorded> {
  const path = join(folder, 'config.json');
  try {
    const record = (currentNames(JSON.parse((await textIfThere(path)) ?? '')) ?? {}) as Recorded;
    return record.config === undefined ? record : { ...record, config: storedConfig(record.config, path) };
  } catch (error) {
    if (error instanceof UserError) throw error;
    warn(`${path} could not be read: the report does not tell versions and machine`);
    return {};
  }
}
