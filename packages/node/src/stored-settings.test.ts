/** Checkpoints with right checksums and wild settings: a line that names the file and the setting, whichever command reads it. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { decodeSafetensors, encodeSafetensors, UserError } from '@moco-ts/core';
import { checksum, hexadecimal, settingEntries } from '@moco-ts/run';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Captured, imageFolder, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { decodeCheckpoint } from '../../run/src/checkpoint.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(24);
const small = [...tiny, '-a', 'resnet-micro', '--image-size', '32'];

/** JSON, as a stranger may write it. */
const wild: Readonly<Record<string, string>> = {
  'what JSON makes Infinity': '1e999',
  'the largest double': '1e308',
  'below the smallest number': '-1',
  'a large number': '1000000000000',
  'no whole number': '0.5e-9',
  nothing: 'null',
  'an empty text': '""',
  'what steers a terminal': '"\\u001b[31m\\u001b]0;title\\u0007\\u009b2J"',
  'an object': '{}',
  'an empty list': '[]',
  'a list of lists': '[[1],[{}]]',
  'a name of a prototype': '"__proto__"',
  'a name of every object': '"constructor"',
  'a long text': JSON.stringify('x'.repeat(100_000)),
  truth: 'true',
};

/** What a setting may be of the above; each else is refused. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  data: ['"__proto__"', '"constructor"', wild['what steers a terminal']!],
  ...Object.fromEntries(
    ['init', 'progressFrom', 'teacher', 'teacherChecksum'].map((name) => [
      name,
      ['"__proto__"', '"constructor"', wild['what steers a terminal']!],
    ]),
  ),
  // They are names, if of nothing that is known.
  arch: ['"__proto__"', '"constructor"'],
  backend: ['"__proto__"', '"constructor"'],
  designers: [],
  holdOut: ['0.5e-9'],
  measureEvery: ['0.5e-9'],
  mocoM: ['0.5e-9'],
  mocoT: ['0.5e-9'],
  teacherT: ['0.5e-9'],
  bankMomentum: ['0.5e-9'],
  proximal: ['1000000000000', '0.5e-9'],
  cropMin: ['0.5e-9'],
  hue: ['0.5e-9'],
  grayscale: ['0.5e-9'],
  lr: ['1000000000000', '0.5e-9'],
  momentum: ['0.5e-9'],
  wd: ['1000000000000', '0.5e-9'],
  warmupEpochs: ['0.5e-9'],
  schedule: ['[]'],
  plugin: ['[]'],
  ...Object.fromEntries(
    [
      ...['stopGradConv1', 'mocoMCos', 'mlp', 'augPlus', 'blur', 'scaleLr', 'cos', 'lrPerStep', 'symmetric'],
      ...['isolate', 'labels', 'checkpointActivations', 'openEnded', 'cacheTeacher'],
    ].map((name) => [name, ['true']]),
  ),
};

const settings = settingEntries().map(([name]) => name);

/** The commands that read a checkpoint. */
const commands: Readonly<Record<string, (file: string, out: string) => string[]>> = {
  knn: (file) => ['knn', file],
  lincls: (file, out) => ['lincls', file, images, '--out', out],
  finetune: (file, out) => ['finetune', file, images, '--out', out],
  embed: (file, out) => ['embed', file, images, '--out', `${out}.npy`],
  export: (file, out) => ['export', file, '-o', `${out}.onnx`],
  convert: (file, out) => ['convert', file, '-o', `${out}.pth`],
  'pretrain --resume': (file, out) => ['pretrain', '--resume', file, '--out', out, '--max-steps', '1'],
  search: (file) => ['search', images, join(images, 'p000.png'), '--model', file],
  dedupe: (file) => ['dedupe', images, '--model', file],
  map: (file, out) => ['map', images, '--model', file, '--out', `${out}.html`],
};

let original: ReturnType<typeof decodeSafetensors>;
let classifier: ReturnType<typeof decodeSafetensors>;

beforeAll(async () => {
  const run = at('run');
  expect((await moco('pretrain', images, ...small, '--epochs', '1', '--out', run)).code).toBe(0);
  original = decodeSafetensors(readFileSync(join(run, 'checkpoint-0001.safetensors')), 'original');
  const labelled = at('labelled');
  for (const split of ['train', 'test'])
    for (const name of ['a', 'b']) {
      mkdirSync(join(labelled, split, name), { recursive: true });
      for (let i = 0; i < 4; i++)
        copyFileSync(join(images, `p00${i}.png`), join(labelled, split, name, `${i}.png`));
    }
  const trained = ['lincls', run, labelled, '--epochs', '1', '-b', '4', '-j', '0', '--out', at('probe')];
  expect(await moco(...trained)).toMatchObject({ code: 0 });
  classifier = decodeSafetensors(readFileSync(at('probe/best.safetensors')), 'classifier');
});

let count = 0;

/** A checkpoint whose text is changed, with the checksums that belong to it. */
function forged(
  change: (info: { config: Record<string, unknown> } & Record<string, unknown>) => void,
): string {
  const info = JSON.parse(original.metadata.moco!);
  change(info);
  // Numbers that JSON.stringify would not write.
  const text = JSON.stringify(info).replaceAll(/"RAW:(.*?):RAW"/g, (_, raw: string) =>
    JSON.parse(`"${raw}"`),
  );
  const path = at(`forged-${count++}.safetensors`);
  const sums = { crc32: checksum(original.tensors, crc32), mocoCrc32: hexadecimal(crc32(text)) };
  writeFileSync(path, encodeSafetensors(original.tensors, { format: 'moco-ts', moco: text, ...sums }));
  return path;
}
const raw = (json: string) => `RAW:${json}:RAW`;

function expectOneLine({ code, out, err }: Captured, about: string): void {
  expect(code, about).toBe(1);
  expect(err, about).toMatch(/^moco: [^\n]*\n$/);
  expect(err.length, about).toBeLessThan(700);
  expectHarmless({ code, out, err }, about);
}

function expectHarmless({ out, err }: Captured, about: string): void {
  expect(err, about).not.toMatch(/\n\s+at |TypeError|RangeError|undefined/);
  expect(out + err, about).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
}

describe('a checkpoint with a wild value of', () => {
  it.each(settings)('%s', async (name) => {
    const wanted = Object.entries(wild).filter(([, json]) => !allowed[name]?.includes(json));
    for (const [what, json] of wanted) {
      const file = forged((info) => {
        info.config[name] = raw(json);
      });
      const refusal = () => decodeCheckpoint(readFileSync(file), file, crc32);
      expect(refusal, what).toThrow(UserError);
      expect(refusal, what).toThrow(file);
      expect(refusal, what).toThrow(name);
    }
    // And one of them by a command.
    const turn = settings.indexOf(name);
    const json = wanted[turn % wanted.length]![1];
    const [command, args] = Object.entries(commands)[turn % Object.keys(commands).length]!;
    const file = forged((info) => {
      info.config[name] = raw(json);
    });
    const result = await moco(...args(file, at(`out-${count}`)));
    expectOneLine(result, `${command}, ${name}: ${json}`);
    expect(result.err).toContain(file);
    expect(result.err).toContain(name);
  });

  it.each(Object.keys(commands))('each, by %s', async (command) => {
    for (const [name, json] of [
      ['workers', '1000000000'],
      ['arch', wild['what steers a terminal']!],
      ['mean', 'null'],
      ['schedule', '["x"]'],
    ]) {
      const file = forged((info) => {
        info.config[name!] = raw(json!);
      });
      expectOneLine(await moco(...commands[command]!(file, at(`out-${count}`))), `${command}, ${name}`);
    }
  });

  it.each(Object.entries(allowed).flatMap(([name, values]) => values.map((json) => [name, json] as const)))(
    '%s that may be: %s',
    async (name, json) => {
      const file = forged((info) => {
        info.config[name] = raw(json);
      });
      for (const command of ['knn', 'export'])
        expectHarmless(await moco(...commands[command]!(file, at(`out-${count}`))), `${command}, ${name}`);
    },
  );
});

it.each(['epoch', 'step', 'globalStep', 'images', 'losses', 'meters', 'time', 'config'])(
  'a checkpoint with a wild %s is refused',
  async (name) => {
    for (const [what, json] of Object.entries(wild)) {
      if (name === 'losses' && json === '[]') continue;
      if (name === 'meters' && json === '{}') continue;
      const file = forged((info) => {
        info[name] = raw(json);
      });
      const result = await moco('knn', file);
      if (['epoch', 'step', 'globalStep', 'images'].includes(name) && json === '1000000000000') {
        expectHarmless(result, `${name}: ${what}`);
        continue;
      }
      expectOneLine(result, `${name}: ${what}`);
    }
  },
);

it('what is of no known setting changes nothing, and what is missing has its default', async () => {
  const file = forged(({ config }) => {
    config['\u001b[31m'] = '\u001b[31m';
    Object.defineProperty(config, '__proto__', { value: { workers: 1e9 }, enumerable: true });
    for (const late of ['blur', 'isolate', 'warmupEpochs', 'loss', 'bankDraw', 'keep']) delete config[late];
  });
  const { info } = decodeCheckpoint(readFileSync(file), file, crc32);
  const { config } = JSON.parse(original.metadata.moco!);
  expect(Object.keys(info.config).sort()).toEqual(Object.keys(config).sort());
  expect(info.config).toEqual(config);
  expect(await moco('knn', file)).toMatchObject({ code: 0, err: '' });
});

it('one that is open-ended without a time ends with its epochs', async () => {
  const file = forged(({ config }) => Object.assign(config, { openEnded: true, epochs: 2 }));
  const { code, err, out } = await moco('pretrain', '--resume', file, '--out', at('open-ended'));
  expect([code, err]).toEqual([0, '']);
  expect(out).toContain(`Saved ${join(at('open-ended'), 'checkpoint-0002.safetensors')}`);
});

it('a run folder with such a checkpoint keeps it: it is not damaged', async () => {
  const run = at('kept');
  mkdirSync(run);
  const file = forged(({ config }) => {
    config.workers = 1e9;
  });
  const path = join(run, 'checkpoint-0001.safetensors');
  copyFileSync(file, path);
  expectOneLine(await moco('pretrain', '--resume', run), 'resume');
  expect(readFileSync(path)).toEqual(readFileSync(file));
});

describe('a classifier with a wild', () => {
  const file = () => at(`classifier-${count++}.safetensors`);
  const forgedClassifier = (change: (info: Record<string, Record<string, unknown>>) => void) => {
    const info = JSON.parse(classifier.metadata.classifier!);
    change(info);
    const text = JSON.stringify(info).replaceAll(/"RAW:(.*?):RAW"/g, (_, raw: string) =>
      JSON.parse(`"${raw}"`),
    );
    const path = file();
    const { crc32: sum } = classifier.metadata;
    writeFileSync(
      path,
      encodeSafetensors(classifier.tensors, { format: 'moco-ts', crc32: sum!, classifier: text }),
    );
    return path;
  };
  const fields: readonly (readonly [string, string | undefined])[] = [
    ...['recipe', 'run', 'encoder', 'classes', 'epoch', 'acc1', 'bestAcc1'].map(
      (name) => [name, undefined] as const,
    ),
    ...['train', 'data', 'epochs', 'lr', 'schedule', 'cos', 'seed', 'cacheFeatures'].map(
      (name) => ['recipe', name] as const,
    ),
    ['run', 'workers'],
    ['run', 'arch'],
  ];
  it.each(fields)('%s %s', async (name, within) => {
    // What may be: names are free, and these are numbers in their ranges.
    const fine: Readonly<Record<string, readonly string[]>> = {
      encoder: Object.values(wild).filter((json) => json.startsWith('"')),
      'recipe.data': ['"__proto__"', '"constructor"', wild['what steers a terminal']!],
      epoch: ['1000000000000'],
      acc1: ['0.5e-9'],
      bestAcc1: ['0.5e-9'],
      'recipe.lr': ['1000000000000', '0.5e-9'],
      'recipe.schedule': ['[]'],
      'recipe.cos': ['true'],
      'recipe.cacheFeatures': ['true'],
    };
    for (const [what, json] of Object.entries(wild)) {
      const path = forgedClassifier((info) => {
        if (within === undefined) info[name] = raw(json) as never;
        else info[name]![within] = raw(json);
      });
      const result = await moco('export', path, '--with-classifier', '-o', `${path}.onnx`);
      const key = within === undefined ? name : `${name}.${within}`;
      if (fine[key]?.includes(json)) expectHarmless(result, `${key}: ${what}`);
      else expectOneLine(result, `${key}: ${what}`);
    }
  });
});
