/** What is done with files of earlier versions, in their folder: each case's result is what that version itself came to. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { curves, logOf, means, moco, npyValues, type Output, percents, sumOf } from './commands.ts';

export interface Case {
  readonly name: string;
  /** Decimals in which the numbers of the result agree; all of them where JavaScript alone computes. */
  readonly digits?: number;
  run(): Promise<unknown>;
}

/** Losses of ten steps in float32, in which processors differ: these are within 5e-7 of float64's. */
const LOSSES = 4;
/** Features, which engines sum in another order: within 2e-7 of each other. */
const FEATURES = 4;

const reference = ['--backend', 'reference'];
const machine = ['-j', '0', '--threads', '1'];

/** Runs a command. @throws Error with what it printed, if it fails */
export async function done(...args: string[]): Promise<Output> {
  const output = await moco(...args);
  if (output.code !== 0) throw new Error(`moco ${args.join(' ')}\n${output.out}${output.err}`);
  return output;
}

const round = (value: number) => Number(value.toPrecision(9));

/** Where a run or a classifier has come to. */
function ended(folder: string) {
  const steps = logOf(folder, 'step').map(({ loss, acc1, spread, featureStd = spread }) =>
    [loss!, acc1!, ...(featureStd === undefined ? [] : [featureStd])].map(round),
  );
  const epochs = logOf(folder, 'epoch').map(({ loss, spread, featureStd = spread, lr }) =>
    [loss!, featureStd!, lr!].map(round),
  );
  const validations = logOf(folder, 'validation').map(({ acc1, acc5, bestAcc1 }) => [acc1, acc5, bestAcc1]);
  const measured = logOf(folder, 'evaluation').map(
    ({ knn, editedCopies, otherHands, crossDesigner = otherHands, neighbour }) =>
      [knn, editedCopies, crossDesigner, neighbour].map((value) => value ?? null),
  );
  const sums = readdirSync(folder)
    .filter((name) => name.endsWith('.safetensors'))
    .sort()
    .map((name) => [name, sumOf(join(folder, name))]);
  return { steps, epochs, validations, measured, sums };
}

const onReference = ['moco-v1', 'moco-v3', 'simclr', 'instdisc'];
const runs = [...onReference, 'moco-v2'];

function resumed(name: string): Case {
  const bits = onReference.includes(name);
  return {
    name: `pretrain --resume trained/${name}`,
    ...(!bits && { digits: LOSSES }),
    async run() {
      const { err } = await done('pretrain', '--resume', `trained/${name}`);
      if (err.includes('when the run was saved')) throw new Error(err);
      const { steps, ...rest } = ended(`trained/${name}`);
      return bits ? { steps, ...rest } : steps.map(([loss]) => loss);
    },
  };
}

const further: Case = {
  name: 'pretrain --resume with more epochs',
  async run() {
    await done('pretrain', '--resume', 'trained/simclr', '--epochs', '3');
    return ended('trained/simclr');
  },
};

const listed: Case = {
  name: 'an image that was left out is listed once',
  async run() {
    await done('pretrain', '--resume', 'trained/moco-v1');
    return readFileSync('trained/moco-v1/skipped.jsonl', 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
  },
};

const knn = (model: string, ...data: string[]): Case => ({
  name: `knn ${model}`,
  // The accuracy comes first; 0.1.0 did not say what chance reaches.
  run: async () =>
    percents((await done('knn', model, ...data, ...reference, '-j', '0', '-k', '5')).out).slice(0, 1),
});

export const classifiers = [
  { command: 'lincls', folder: 'probe' },
  { command: 'finetune', folder: 'tuned' },
  { command: 'lincls', folder: 'cached' },
] as const;

const evaluated = ({ command, folder }: (typeof classifiers)[number]): Case => ({
  name: `${command} -e ${folder}`,
  run: async () =>
    percents((await done(command, `${folder}/best.safetensors`, '-e', ...reference, '-j', '0')).out),
});

const gone = ({ command, folder }: (typeof classifiers)[number]): Case => ({
  name: `${command} --resume ${folder}`,
  async run() {
    await done(...classifierLine(command, folder), '--epochs', '3', '--resume');
    return ended(folder);
  },
});

export function classifierLine(command: string, folder: string): string[] {
  const own = ['-b', '8', '-p', '1', '--lr', '0.1', '--out', folder, '-j', '0', ...reference];
  return [command, 'trained/moco-v1', ...own, ...(folder === 'cached' ? ['--cache-features'] : [])];
}

interface Found {
  readonly neighbours: readonly { readonly id: string; readonly similarity: number }[];
}

const searched = (...args: string[]): Case => ({
  name: `search ${args.join(' ')}`,
  digits: FEATURES,
  async run() {
    const { out, err } = await done('search', ...args, '-k', '3', '--json', ...reference);
    if (err !== '') throw new Error(err);
    return (JSON.parse(out) as { results: Found[] }).results[0]!.neighbours.map(({ id, similarity }) => [
      id,
      similarity,
    ]);
  },
});

const embedded = (name: string, model: string): Case => ({
  name: `embed ${name}`,
  digits: FEATURES,
  async run() {
    await done('embed', model, 'photos', '--out', 'again.npy', '-j', '0');
    return npyValues('again.npy').map(round);
  },
});

/** A line that was interrupted, and is repeated. */
export const interrupted = [
  ...['embed', 'trained/simclr', 'digits', '--out', 'unfinished.npy', '--raw', '-j', '0', ...reference],
];

const embedding: Case = {
  name: 'embed goes on',
  async run() {
    const { err } = await done(...interrupted);
    return { goesOn: err.includes('behind'), values: npyValues('unfinished.npy').map(round) };
  },
};

const reported = (folder: string): Case => ({
  name: `report ${folder}`,
  async run() {
    await done('report', folder, '-o', 'page.html', ...reference);
    return curves('page.html');
  },
});

const converted: Case = {
  name: 'convert',
  async run() {
    await done('convert', 'trained/moco-v2', '-o', 'again.safetensors', '--with-head');
    return sumOf('again.safetensors');
  },
};

const exported: Case = {
  name: 'export',
  digits: FEATURES,
  async run() {
    await done('export', 'trained/moco-v2', '-o', 'again.onnx', '--with-preprocess');
    await done('embed', 'again.onnx', 'photos', '--out', 'again.npy');
    const [, images] = /without labels on (\d+) /.exec(readFileSync('again.md', 'utf8'))!;
    return [Number(images), npyValues('again.npy').map(round)];
  },
};

/** @param folder of cells; what is there is not measured again */
export const ablation = (folder: string): string[] => [
  ...['ablate', folder === 'ablation' ? 'digits' : 'emoji', '--out', folder, '--seeds', '1'],
  ...['--sweeps', folder === 'ablation' ? 'bn,k' : 'bn', '-a', 'resnet-compat', '--image-size', '16'],
  ...['-b', folder === 'ablation' ? '16' : '64', '--moco-k', '64', '--moco-dim', '8', '--bn-splits', '2'],
  ...['--epochs', '1', ...machine, ...(folder === 'ablation' ? reference : [])],
];

const ablated = (folder: string): Case => ({
  name: `${folder} goes on`,
  async run() {
    const { out } = await done(...ablation(folder));
    const cells = out.split('\n').filter((line) => /^ *\d+\/\d+ /.test(line));
    // Without the time that a cell took.
    return {
      cells: cells.map((line) => line.replace(/ +[\d:]+$/, '')),
      means: means(join(folder, 'report.html')),
    };
  },
});

const looked = (command: string, ...args: string[]): Case => ({
  name: `${command} ${args[0]}`,
  async run() {
    const { out } = await done(command, ...args);
    return out.replace(/, [\d.]+ [kM]B/, '').trim();
  },
});

/** A line for each group, as up to 0.1.0. */
const deduped = (file: string, ...args: string[]): Case => ({
  name: `dedupe ${file}`,
  async run() {
    const { out } = await done('dedupe', file, ...args, '--json');
    return (JSON.parse(out) as { groups: object[] }).groups.map((group) => JSON.stringify(group)).join('\n');
  },
});

export const cases: readonly Case[] = [
  ...runs.map(resumed),
  further,
  listed,
  ...runs.map((name) => knn(`trained/${name}`)),
  knn('encoder.safetensors', 'digits'),
  knn('encoder.pth', 'digits'),
  ...classifiers.map(evaluated),
  ...classifiers.map(gone),
  searched('vectors.npy', 'train/3', '--index'),
  searched('vectors.parquet', 'train/3'),
  searched('vectors.parquet', 'photos/cat/1.png'),
  embedded('a run', 'trained/moco-v2'),
  embedded('a run of ViTs', 'trained/moco-v3'),
  embedded('an exported model', 'model.onnx'),
  embedding,
  ...['trained/moco-v1', 'trained/emoji', 'probe'].map(reported),
  converted,
  exported,
  ablated('ablation'),
  ablated('ablation-emoji'),
  looked('map', 'vectors.parquet', '--out', 'map.html'),
  deduped('vectors.npy', '--threshold', '0.99999', ...reference),
];
