import { dirname, join, resolve } from 'node:path';
import { counted, quoted } from '@moco-ts/core';
import {
  asCheckpoint,
  describeForeign,
  entryIfThere,
  isCheckpoint,
  measureNames,
  measureRows,
  openAny,
  readClassifier,
  registerPlugins,
} from '@moco-ts/node';
import {
  type CheckpointInfo,
  longFlag,
  type RunConfig,
  settingEntries,
  settingNamed,
  withDefaults,
} from '@moco-ts/run';
import type { Command } from 'commander';
import { wrap } from '../format.ts';
import { type Io, warnTo } from '../io.ts';
import { readHistory } from '../report/history.ts';

/** What `--json` prints. What is not known of a file is missing. */
interface Info {
  readonly path: string;
  readonly kind: 'run' | 'checkpoint' | 'classifier' | 'foreign';
  readonly method: string;
  readonly arch: string;
  readonly imageSize: number;
  readonly data?: string;
  readonly images?: number;
  /** Done. */
  readonly epoch: number;
  readonly epochs?: number;
  readonly globalStep?: number;
  readonly loss?: number;
  /** The best of all epochs, in percent. */
  readonly best: Readonly<Record<string, number>>;
  /** Settings that are not the defaults of method and arch. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of a foreign file, in words. */
  readonly found?: string;
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
    .option('--json', 'as one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  moco info runs/photos\n  moco info moco_v2_800ep_pretrain.pth.tar --json',
    )
    .action(async (path: string, { json }: { json?: boolean }) => {
      await registerPlugins();
      const info = await infoOf(path, io);
      io.out(json ? `${JSON.stringify(info)}\n` : told(info));
    });
}

async function infoOf(path: string, io: Io): Promise<Info> {
  const opened = await openAny(path, {}, warnTo(io));
  const at = quoted(path);
  if (!isCheckpoint(opened)) {
    const { info } = asCheckpoint(opened, path);
    const { method, arch, imageSize } = info.config;
    const next = [`moco knn ${at} photos/`, `moco import ${at} -o encoder.safetensors`];
    const found = describeForeign(opened).title;
    return {
      path,
      kind: 'foreign',
      method,
      arch,
      imageSize,
      epoch: info.epoch,
      best: {},
      settings: {},
      found,
      next,
    };
  }
  const classifier = await readClassifier(opened.path).catch(() => undefined);
  if (classifier) return ofClassifier(path, classifier);
  return ofRun(path, opened.info);
}

function ofClassifier(path: string, { path: file, info }: Awaited<ReturnType<typeof readClassifier>>): Info {
  const { recipe, run, epoch, bestAcc1 } = info;
  const { train, data, epochs, ...rest } = recipe;
  const command = train === 'linear' ? 'lincls' : 'finetune';
  const next = [
    `moco ${command} ${quoted(file)} -e`,
    `moco export ${quoted(file)} -o model.onnx --with-classifier`,
  ];
  const { method, arch, imageSize } = run;
  return {
    ...{ path, kind: 'classifier', method, arch, imageSize, data, epoch, epochs, settings: rest, next },
    best: { 'Acc@1': bestAcc1 },
  };
}

async function ofRun(
  path: string,
  { config, epoch, globalStep, images, losses }: CheckpointInfo,
): Promise<Info> {
  const isFolder = (await entryIfThere(path))?.isDirectory() === true;
  const logged = isFolder && (await entryIfThere(join(path, 'log.jsonl'))) !== undefined;
  const evaluations = logged ? (await readHistory(path)).evaluations : [];
  const best = Object.fromEntries(
    measureNames.flatMap((name) => {
      const values = evaluations.map((line) => line[name]).filter((value) => typeof value === 'number');
      return values.length === 0 ? [] : [[name, Math.max(...values)]];
    }),
  );
  const { method, arch, imageSize, data, epochs } = config;
  const folder = quoted(isFolder ? path : dirname(resolve(path)));
  const at = quoted(path);
  const next = [
    ...(epoch < epochs ? [`moco pretrain --resume ${folder}`] : []),
    `moco knn ${at} ${quoted(data)}`,
    `moco lincls ${at} labelled/`,
    `moco export ${at} -o model.onnx`,
  ];
  const loss = losses.at(-1);
  return {
    ...{ path, kind: isFolder ? 'run' : 'checkpoint', method, arch, imageSize, data, images, epoch, epochs },
    ...{ globalStep, ...(loss !== undefined && { loss }), best, settings: differing(config), next },
  };
}

/** Settings of the recipe that are not what method, arch and size would have them be. */
function differing(config: RunConfig): Record<string, unknown> {
  const { data, method, arch, imageSize } = config;
  const usual: Readonly<Record<string, unknown>> = withDefaults({ data, method, arch, imageSize });
  const told = new Set(['data', 'method', 'arch', 'imageSize', 'workers']);
  return Object.fromEntries(
    settingEntries()
      .filter(([key, { group }]) => !told.has(key) && group !== 'Machine')
      .map(([key]) => [key, config[key]] as const)
      .filter(([key, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(usual[key])),
  );
}

/** `--moco-k 4096`, `--mlp`, `--no-blur`; a setting without a flag by its name. */
function asFlag([key, value]: [string, unknown]): string {
  const flag = longFlag(settingNamed(key) ?? {});
  const text = Array.isArray(value) ? value.join(' ') : String(value);
  if (flag === undefined) return `${key} ${text}`;
  return value === true ? flag : value === false ? flag.replace('--', '--no-') : `${flag} ${text}`;
}

const kinds = {
  run: 'a run',
  checkpoint: 'a checkpoint',
  classifier: 'a classifier',
  foreign: 'of another program',
};

/** For people, at 80 columns but for long paths. */
function told(info: Info): string {
  const { path, kind, method, arch, imageSize, data, images, epoch, epochs, globalStep, loss, found } = info;
  const measures = kind === 'classifier' ? Object.entries(info.best) : measureRows(info.best);
  const settings = Object.entries(info.settings).map(asFlag).join(', ');
  const steps = globalStep === undefined ? '' : `, ${counted(globalStep, 'step')}`;
  const rows: [string, string | undefined][] = [
    ['encoder', found ?? `${arch} at ${imageSize} px, ${method}`],
    ['data', data && `${data}${images ? `, ${counted(images, 'image')}` : ''}`],
    ['epochs', epochs === undefined ? undefined : `${epoch} of ${epochs}${steps}`],
    ['loss', loss?.toFixed(4)],
    ['best', measures.map(([name, value]) => `${name} ${value.toFixed(2)} %`).join(', ')],
    ['settings', settings],
    ...info.next.map((line, i): [string, string] => [i === 0 ? 'next' : '', line]),
  ];
  const line = (name: string, text: string) =>
    `  ${name.padEnd(10)}${wrap(text, 68, '').replaceAll('\n', `\n${' '.repeat(12)}`)}`;
  return [
    `${path}: ${kinds[kind]}`,
    ...rows.flatMap(([name, text]) => (text ? [line(name, text)] : [])),
    '',
  ].join('\n');
}
