import { join } from 'node:path';
import { counted } from '@moco-ts/core';
import {
  asCheckpoint,
  bestText,
  type ClassifierInfo,
  checkNewest,
  describeForeign,
  entryIfThere,
  type Foreign,
  isCheckpoint,
  measureNames,
  measureRows,
  type Own,
  openAny,
  readBest,
  registerPlugins,
} from '@moco-ts/node';
import {
  type CheckpointInfo,
  durationText,
  lastEpoch,
  longFlag,
  type RunConfig,
  settingEntries,
  settingNamed,
  usualConfig,
} from '@moco-ts/run';
import type { Command } from 'commander';
import { wrap } from '../format.ts';
import { type Io, remarkTo, warnTo } from '../io.ts';
import { readHistory } from '../report/history.ts';
import { timeOf } from '../reporter.ts';
import { finetuneDefaults } from './finetune.ts';
import { linearDefaults } from './lincls.ts';
import { dataOf, lineOf, type Needs } from './next.ts';

/** What `--json` prints. What is not known of a file is missing. */
interface Info {
  readonly path: string;
  readonly kind: 'run' | 'checkpoint' | 'classifier' | 'converted' | 'foreign';
  readonly method: string;
  readonly arch: string;
  readonly imageSize: number;
  readonly data?: string;
  readonly images?: number;
  /** Done. */
  readonly epoch: number;
  readonly epochs?: number;
  readonly globalStep?: number;
  /** Seconds, of a run with `time`: gone, and in all. */
  readonly time?: { readonly spent: number; readonly total: number };
  readonly loss?: number;
  /** The best of all epochs, in percent. */
  readonly best: Readonly<Record<string, number>>;
  /** The checkpoint that the run chose, which other commands use. */
  readonly chosen?: {
    readonly file: string;
    readonly epoch: number;
    readonly by: string;
    readonly text: string;
  };
  /** Settings that are not the defaults: of a run those of its method and arch, of a classifier its command's. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of a foreign file, in words. */
  readonly title?: string;
  /** Commands. */
  readonly next: readonly string[];
}

export function infoCommand(program: Command, io: Io): void {
  program
    .command('info')
    .summary('what a run or a file is')
    .description(
      'Tells what a run folder, checkpoint, classifier or PyTorch file is: method, encoder, settings that differ from the defaults, how far it is, its loss and best measures, and what can be done next.',
    )
    .argument('<path>', 'run folder, checkpoint, or a file that moco import takes')
    .addHelpText(
      'after',
      '\nExamples:\n  moco info runs/photos\n  moco info moco_v2_800ep_pretrain.pth.tar --json',
    )
    .action(async (path: string, { plugin }: { plugin?: readonly string[] }) => {
      await registerPlugins();
      const opened = await openAny(path, {}, warnTo(io), 'newest');
      if (!isCheckpoint(opened)) describeForeign(opened).remarks.forEach(remarkTo(io));
      const { plugin: recorded, backend } = isCheckpoint(opened) ? opened.info.config : {};
      // What the user named here is known to load.
      const info = await infoOf(path, opened, { plugin: plugin ?? recorded, backend });
      io.result(info, told(info));
    });
}

function infoOf(path: string, opened: Foreign | Own, needs: Needs): Info | Promise<Info> {
  if (!isCheckpoint(opened)) return ofForeign(path, opened, needs);
  const { classifier } = opened;
  return classifier ? ofClassifier(path, opened.path, classifier, needs) : ofRun(path, opened.info, needs);
}

function ofForeign(path: string, opened: Foreign, needs: Needs): Info {
  const { config, epoch } = asCheckpoint(opened, path).info;
  const { method, arch, imageSize } = config;
  const next = [
    lineOf('knn', [path, 'photos/'], needs),
    lineOf('import', [path, '-o', 'encoder.safetensors'], needs),
  ];
  const kind = opened.about ? 'converted' : 'foreign';
  const title = describeForeign(opened).title;
  return { path, kind, method, arch, imageSize, epoch, best: {}, settings: {}, title, next };
}

function ofClassifier(
  path: string,
  file: string,
  { recipe, run, epoch, bestAcc1 }: ClassifierInfo,
  needs: Needs,
): Info {
  const { train, data, epochs, ...rest } = recipe;
  const [command, defaults] =
    train === 'linear' ? ['lincls', linearDefaults] : ['finetune', finetuneDefaults];
  const settings = differing(rest, { ...defaults, cacheFeatures: false, holdOut: run.holdOut });
  const next = [
    lineOf(command!, [file, '-e'], needs),
    lineOf('export', [file, '-o', 'model.onnx', '--with-classifier'], needs),
  ];
  const { method, arch, imageSize } = run;
  return {
    ...{ path, kind: 'classifier', method, arch, imageSize, data, epoch, epochs, settings, next },
    best: { 'Acc@1': bestAcc1 },
  };
}

async function ofRun(path: string, info: CheckpointInfo, needs: Needs): Promise<Info> {
  const { config, epoch, globalStep, images, losses, time: recorded } = info;
  const isFolder = (await entryIfThere(path))?.isDirectory() === true;
  const { method, arch, imageSize, data } = config;
  const epochs = lastEpoch(config);
  // What `moco import` writes took no step on any images.
  const imported = images === 0 && globalStep === 0;
  const next = [
    ...(imported || epoch >= epochs || recorded?.progress === 1
      ? []
      : [await resuming(path, isFolder, config, needs)]),
    lineOf('knn', [path, imported ? 'photos/' : dataOf(config)], needs),
    lineOf('lincls', [path, 'labelled/'], needs),
    lineOf('export', [path, '-o', 'model.onnx'], needs),
  ];
  const loss = losses.at(-1);
  return {
    ...{ path, kind: isFolder ? 'run' : 'checkpoint', method, arch, imageSize, epoch },
    ...(!imported && { data, images, ...(Number.isFinite(epochs) && { epochs }), globalStep }),
    ...(recorded && config.time !== undefined && { time: { spent: recorded.spent, total: config.time } }),
    ...(loss !== undefined && { loss }),
    ...(isFolder && (await chosenIn(path))),
    ...{ best: isFolder ? await bestOf(path) : {}, settings: settingsOf(config), next },
  };
}

/** The command that goes on, with what it can't take from the checkpoint. */
async function resuming(path: string, isFolder: boolean, { data }: RunConfig, needs: Needs): Promise<string> {
  // A program's own data set, which it alone can open.
  const photos = data.startsWith('object:') ? ['photos/'] : [];
  const isNewest =
    isFolder ||
    (await checkNewest(path).then(
      () => true,
      () => false,
    ));
  const branch = isNewest ? [] : ['--out', 'runs/branch'];
  return lineOf('pretrain', [...photos, '--resume', path, ...branch], needs);
}

async function chosenIn(folder: string): Promise<Pick<Info, 'chosen'>> {
  const best = await readBest(folder);
  if (!best) return {};
  const { file, by } = best;
  return { chosen: { file, epoch: best.best.epoch, by, text: bestText(best) } };
}

/** The best measures of a run's log, in percent. */
async function bestOf(folder: string): Promise<Record<string, number>> {
  const logged = (await entryIfThere(join(folder, 'log.jsonl'))) !== undefined;
  const evaluations = logged ? (await readHistory(folder)).evaluations : [];
  return Object.fromEntries(
    measureNames.flatMap((name) => {
      const values = evaluations.map((line) => line[name]).filter((value) => typeof value === 'number');
      return values.length === 0 ? [] : [[name, Math.max(...values)]];
    }),
  );
}

/** Settings of the recipe that are not what method, arch and size, the optimizer and the epochs would have them be. */
function settingsOf(config: RunConfig): Record<string, unknown> {
  const { data, method, arch, imageSize, epochs, optimizer, select } = config;
  const named = { data, method, arch, imageSize };
  const unnamed = usualConfig(named, config);
  // Rate, decay, warm-up and evaluations follow from these.
  const derived = usualConfig({ ...named, epochs, optimizer, select }, config);
  const usual = {
    ...derived,
    epochs: unnamed.epochs,
    optimizer: unnamed.optimizer,
    select: unnamed.select,
  };
  const elsewhere = new Set([...Object.keys(named), 'workers', 'openEnded']);
  const entries = settingEntries().filter(([key, { group }]) => !elsewhere.has(key) && group !== 'Machine');
  return differing(Object.fromEntries(entries.map(([key]) => [key, config[key]])), usual);
}

/** What is not as usual. What is switched off need not be named, unless a flag does it. */
function differing(settings: object, usual: object): Record<string, unknown> {
  const before = new Map<string, unknown>(Object.entries(usual));
  const isUsual = (key: string, value: unknown) =>
    JSON.stringify(value) === JSON.stringify(before.get(key)) ||
    (value === false && before.get(key) === undefined && settingNamed(key)?.not === undefined);
  return Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => value !== undefined && !isUsual(key, value)),
  );
}

/** `--moco-k 4096`, `--mlp`, `--no-blur`; a setting without a flag by its name. */
function asFlag([key, value]: [string, unknown]): string {
  const setting = settingNamed(key);
  const flag = longFlag(setting ?? {});
  const text = Array.isArray(value)
    ? value.join(setting?.flags?.includes('...') ? ' ' : ',')
    : setting?.rule.type === 'duration'
      ? durationText(value as number)
      : String(value);
  if (flag === undefined) return `${key} ${text}`;
  return value === true ? flag : value === false ? flag.replace('--', '--no-') : `${flag} ${text}`;
}

const kinds = {
  run: 'a run',
  checkpoint: 'a checkpoint',
  classifier: 'a classifier',
  converted: 'an encoder that moco convert wrote',
  foreign: 'of another program',
};

/** For people, at 80 columns but for long paths and commands, which stay whole to be pasted. */
function told(info: Info): string {
  const { path, kind, method, arch, imageSize, data, images, epoch, epochs, globalStep, loss, title } = info;
  const measures = kind === 'classifier' ? Object.entries(info.best) : measureRows(info.best);
  const shown = Object.entries(info.settings).filter(
    ([, value]) => !Array.isArray(value) || value.length > 0,
  );
  const settings = shown.map(asFlag).join(', ');
  const steps = globalStep === undefined ? '' : `, ${counted(globalStep, 'step')}`;
  const of = epochs === undefined ? '' : ` of ${epochs}`;
  const rows: [string, string | undefined][] = [
    ['encoder', title ?? `${arch} at ${imageSize} px, ${method}`],
    ['data', data && `${data}${images ? `, ${counted(images, 'image')}` : ''}`],
    ['epochs', epochs === undefined && globalStep === undefined ? undefined : `${epoch}${of}${steps}`],
    ['time', info.time && timeOf(info.time)],
    ['loss', loss?.toFixed(4)],
    ['best', measures.map(([name, value]) => `${name} ${value.toFixed(2)} %`).join(', ')],
    ['chosen', info.chosen && `${info.chosen.file}: ${info.chosen.text}`],
    ['settings', settings],
  ];
  const line = (name: string, text: string) => `  ${name.padEnd(10)}${text}`;
  const wrapped = (text: string) => wrap(text, 68, '').replaceAll('\n', `\n${' '.repeat(12)}`);
  return [
    `${path}: ${kinds[kind]}`,
    ...rows.flatMap(([name, text]) => (text ? [line(name, wrapped(text))] : [])),
    ...info.next.map((command, i) => line(i === 0 ? 'next' : '', command)),
    '',
  ].join('\n');
}
