import { describe, expect, it } from 'vitest';
import { lastEpoch, lengthOf, resolveConfig, resumeConfig, viewsOf } from './config.ts';
import { splitsOf } from './method.ts';
import { methodOf } from './registry.ts';
import type { RunFlags } from './table.ts';

const folder = { source: { data: 'photos', split: 'train' as const } };
const resolve = (flags: RunFlags = {}) => resolveConfig({ data: 'photos', ...flags }, folder);

describe('a new run', () => {
  it("has SPEC.md's defaults", () => {
    expect(resolve()).toMatchObject({
      method: 'moco-v1',
      arch: 'resnet50',
      epochs: 200,
      startEpoch: 0,
      batchSize: 256,
      lr: 0.03,
      schedule: [120, 160],
      momentum: 0.9,
      wd: 1e-4,
      printFreq: 10,
      mocoDim: 128,
      mocoK: 65536,
      mocoM: 0.999,
      mocoT: 0.07,
      mlp: false,
      augPlus: false,
      cos: false,
      optimizer: 'sgd',
      bn: 'shuffle',
      bnSplits: 8,
      symmetric: false,
      imageSize: 224,
      cropMin: 0.2,
    });
    expect(resolve().stem).toBeUndefined();
  });

  it('takes the row of a method', () => {
    expect(resolve({ method: 'moco-v2' })).toMatchObject({ mlp: true, mocoT: 0.2, augPlus: true, cos: true });
  });

  it('has the recipes of MoCo v3: ViTs with AdamW, ResNets with LARS', () => {
    expect(resolve({ method: 'moco-v3', arch: 'vit_small' })).toMatchObject({
      mocoT: 0.2,
      mocoDim: 256,
      mocoMlpDim: 4096,
      mocoM: 0.99,
      mocoMCos: true,
      stopGradConv1: true,
      optimizer: 'adamw',
      lr: 1.5e-4,
      scaleLr: true,
      wd: 0.1,
      epochs: 300,
      warmupEpochs: 40,
      cos: true,
      lrPerStep: true,
      cropMin: 0.08,
      bn: 'sync',
    });
    expect(resolve({ method: 'moco-v3' })).toMatchObject({
      mocoT: 1,
      optimizer: 'lars',
      lr: 0.3,
      wd: 1e-6,
      warmupEpochs: 10,
    });
  });

  it('has those of SimCLR and of instance discrimination', () => {
    expect(resolve({ method: 'simclr' })).toMatchObject({
      mlp: true,
      augPlus: true,
      optimizer: 'lars',
      cos: true,
    });
    expect(resolve({ method: 'instdisc' })).toMatchObject({
      mlp: false,
      mocoT: 0.07,
      loss: 'nce',
      bankMomentum: 0.5,
      bankDraw: 'image',
      proximal: 0,
      optimizer: 'sgd',
      schedule: [120, 160],
    });
  });

  it('warms short runs up for as large a share', () => {
    expect(resolve({ method: 'moco-v3', arch: 'vit_tiny', epochs: 10 }).warmupEpochs).toBe(4);
    expect(resolve({ method: 'simclr', epochs: 20 }).warmupEpochs).toBe(2);
  });

  it('makes the views that the method asks for', () => {
    const ops = (flags: RunFlags) => viewsOf(resolve(flags)).map((view) => view.ops.map(({ op }) => op));
    expect(ops({ method: 'instdisc' })).toEqual([['grayscale', 'jitter', 'flip']]);
    expect(ops({ method: 'simclr' })[1]).toContain('blur');
    expect(ops({ method: 'simclr', blur: false }).flat()).not.toContain('blur');
    const [first, second] = ops({ method: 'moco-v3' });
    expect([first!.includes('solarize'), second!.includes('solarize')]).toEqual([false, true]);
  });

  it("draws hue and grey as it is told, and else as the method's paper has them", () => {
    const drawn = (flags: RunFlags) =>
      viewsOf(resolve(flags)).map(({ ops }) => ({
        hue: ops.flatMap((op) => (op.op === 'jitter' ? [op.hue] : [])),
        grey: ops.flatMap((op) => (op.op === 'grayscale' ? [op.p] : [])),
      }));
    const both = (hue: number, grey: number) => [0, 1].map(() => ({ hue: [hue], grey: [grey] }));
    expect(drawn({ method: 'moco-v1' })).toEqual(both(0.4, 0.2));
    expect(drawn({ method: 'moco-v3' })).toEqual(both(0.1, 0.2));
    expect(drawn({ method: 'moco-v3', hue: 0.05, grayscale: 0 })).toEqual(both(0.05, 0));
    expect(drawn({ method: 'moco-v1', hue: 0.5, grayscale: 1 })).toEqual(both(0.5, 1));
  });

  it('puts explicit flags before the row', () => {
    const flags = { method: 'moco-v2', mlp: false, mocoT: 0.1, augPlus: false, cos: false } as const;
    expect(resolve(flags)).toMatchObject(flags);
    expect(resolve({ mlp: true, mocoT: 0.3 })).toMatchObject({
      method: 'moco-v1',
      mlp: true,
      mocoT: 0.3,
      cos: false,
    });
  });

  it('has the CIFAR stem up to 64 px, for ResNets whose own stem is another', () => {
    expect(resolve({ imageSize: 64 }).stem).toBe('cifar');
    expect(resolve({ imageSize: 65 }).stem).toBeUndefined();
    expect(resolve({ imageSize: 32, arch: 'wide_resnet50_2' }).stem).toBe('cifar');
    expect(resolve({ imageSize: 32, arch: 'resnet-tiny' }).stem).toBeUndefined();
    expect(resolve({ imageSize: 32, stem: 'imagenet' }).stem).toBe('imagenet');
  });

  it('trains on small sets as they are', () => {
    const raw = (side: number) => ({
      source: { data: 'idx', split: 'train' as const },
      share: () => ({
        kind: 'raw' as const,
        bytes: new SharedArrayBuffer(0),
        length: 0,
        width: side,
        height: side,
        channels: 1 as const,
      }),
    });
    expect(resolveConfig({ data: 'idx' }, raw(28)).imageSize).toBe(32);
    expect(resolveConfig({ data: 'idx' }, raw(96)).imageSize).toBe(96);
    const emoji = { source: { data: 'emoji', split: 'train' as const } };
    expect(resolveConfig({ data: 'emoji' }, emoji)).toMatchObject({ imageSize: 32, stem: 'cifar' });
  });

  it('has another rate for AdamW, unless one is named', () => {
    expect(resolve({ optimizer: 'adamw' }).lr).toBe(1e-3);
    expect(resolve({ optimizer: 'adamw', lr: 0.5 }).lr).toBe(0.5);
  });

  it('refuses epochs that leave nothing to do', () => {
    expect(() => resolve({ epochs: 5, startEpoch: 5 })).toThrow('startEpoch 5 leaves nothing');
    expect(() => resolve({ epochs: 5, warmupEpochs: 5 })).toThrow('warmupEpochs 5');
  });
});

describe('a run that goes on', () => {
  const saved = resolve({ method: 'moco-v2', arch: 'resnet18', lr: 0.1, seed: 4 });

  it("has the checkpoint's configuration but for explicit flags", () => {
    expect(resumeConfig(saved, {}, 'c')).toEqual(saved);
    expect(resumeConfig(saved, { epochs: 300, workers: 0 }, 'c')).toEqual({
      ...saved,
      epochs: 300,
      workers: 0,
    });
    expect(resumeConfig(saved, { arch: 'resnet18' }, 'c')).toEqual(saved);
  });

  it.each([
    [{ arch: 'resnet50' }, 'c has resnet18, but arch asks for resnet50'],
    [{ mocoDim: 64 }, 'c has 128, but mocoDim asks for 64'],
    [{ mocoK: 512 }, 'c has 65536, but mocoK asks for 512'],
    [{ mlp: false }, 'c was made with it, but mlp asks for false'],
    [{ method: 'moco-v1' }, 'c has moco-v2, but method asks for moco-v1'],
    [{ optimizer: 'adamw' }, 'c has sgd, but optimizer asks for adamw'],
  ] as const)('refuses another model: %o', (flags, message) => {
    expect(() => resumeConfig(saved, flags, 'c')).toThrow(message);
  });

  it('refuses other images for the teacher, and takes the same', () => {
    const numbers = { teacherMean: [0.5, 0.5, 0.5], teacherStd: [0.25, 0.25, 0.25] };
    const taught = resolve({ method: 'distill', teacher: 'a.onnx', ...numbers });
    expect(resumeConfig(taught, structuredClone(numbers), 'c')).toEqual(taught);
    for (const name of ['teacherMean', 'teacherStd'])
      expect(() => resumeConfig(taught, { [name]: [0.5, 0.5, 0.2] }, 'c')).toThrow(
        `c has ${numbers[name as keyof typeof numbers]}, but ${name} asks for 0.5,0.5,0.2`,
      );
  });

  it.each(['xla:./own.so', 'xla:/tmp/own', 'xla:own.so', 'xla:..\\own'])(
    'loads no file that it names itself: %s',
    (backend) => {
      const stored = { ...saved, backend };
      expect(() => resumeConfig(stored, {}, 'c')).toThrow(`c computed on ${backend}, whose code is a file`);
      for (const named of [backend, 'ort'])
        expect(resumeConfig(stored, { backend: named }, 'c').backend).toBe(named);
      expect(resumeConfig({ ...saved, backend: 'xla:cpu' }, {}, 'c').backend).toBe('xla:cpu');
    },
  );

  it('knows its epoch', () => {
    expect(() => resumeConfig(saved, { startEpoch: 3 }, 'c')).toThrow('startEpoch and resume');
  });
});

describe('a run with a time', () => {
  const timed = resolve({ time: 1800 });
  it('is ended by epochs only where they are named', () => {
    expect(timed).toMatchObject({ epochs: 200, openEnded: true });
    expect(resolve({ time: 1800, epochs: 200 })).not.toHaveProperty('openEnded');
    expect(resolve()).not.toHaveProperty('openEnded');
    expect([lastEpoch(timed), lastEpoch(resolve({ time: 1800, epochs: 5 }))]).toEqual([Infinity, 5]);
    expect(resolve({ time: 1800, startEpoch: 300 }).startEpoch).toBe(300);
  });

  it('stays so when it goes on, until a number of epochs is named', () => {
    expect(resumeConfig(timed, { time: 3600 }, 'c')).toMatchObject({ time: 3600, openEnded: true });
    expect(resumeConfig(timed, { epochs: 30 }, 'c')).not.toHaveProperty('openEnded');
    expect(resumeConfig(resolve(), { time: 60 }, 'c')).not.toHaveProperty('openEnded');
  });

  it('repeats no other one', () => {
    expect(() => resolve({ time: 1800, progressFrom: 'runs/a' })).toThrow('time and progressFrom');
  });

  it.each([
    [{ time: 5400 }, '1h30m'],
    [{ time: 90, epochs: 20 }, '1m30s or 20 epochs'],
    [{ epochs: 1 }, '1 epoch'],
    [{ progressFrom: 'runs/a' }, 'as long as the run that it repeats'],
  ])('says how long it is: %o', (flags, text) => {
    expect(lengthOf(resolve(flags))).toBe(text);
  });
});

it('groups nothing with plain normalisation', () => {
  expect(splitsOf({ bn: 'plain', bnSplits: 8 })).toBe(1);
  expect(splitsOf({ bn: 'split', bnSplits: 4 })).toBe(4);
  expect(splitsOf({ bn: 'shuffle', bnSplits: 2 })).toBe(2);
  expect(splitsOf({ bn: 'sync', bnSplits: 8 })).toBe(1);
});

it.each([
  ['shuffle', 1, 8],
  ['shuffle', 2, 4],
  ['split', 8, 1],
  // The paper's own: each replica is a group.
  ['shuffle', 3, 1],
  ['shuffle', 16, 1],
  ['plain', 4, 1],
  ['sync', 4, 1],
] as const)('%s of 8 groups in all, on %d replicas: %d each', (bn, replicas, each) => {
  expect(splitsOf({ bn, bnSplits: 8 }, replicas)).toBe(each);
});

it.each([
  ['plain', 1, 1],
  ['shuffle', 1, 0],
  // Each replica's keys are of other images than its queries.
  ['shuffle', 4, 0],
  ['plain', 4, 1],
  ['sync', 4, 1],
] as const)('warns of %s normalisation in one group on %d replicas: %d', (bn, replicas, warnings) => {
  const config = resolve({ method: 'moco-v2', bn, bnSplits: bn === 'shuffle' ? replicas : 8, batchSize: 64 });
  if (replicas === 1 && bn === 'shuffle') Object.assign(config, { bnSplits: 2 });
  const remarks = methodOf(config).remarks?.(config, config.mocoK, replicas) ?? [];
  expect(remarks.filter(({ kind }) => kind === 'warning')).toHaveLength(warnings);
  if (warnings > 0)
    expect(String(remarks[0]!.text)).toMatch(replicas === 1 ? 'on one rank:' : 'on 4 replicas:');
});

it.each([
  ['moco-v2', 'plain', true],
  ['moco-v1', 'sync', true],
  ['moco-v2', 'shuffle', false],
  ['simclr', 'sync', false],
] as const)('warns of a loss that can cheat: %s with %s: %s', (method, bn, warns) => {
  const config = resolve({ method, bn });
  const remarks = methodOf(config).remarks?.(config, config.mocoK, 1) ?? [];
  expect(remarks.map(({ kind }) => kind)).toEqual(warns ? ['warning'] : []);
});

it.each([
  ['nce', 3048, 64, 'an epoch of 47 steps soon replaces by features'],
  ['nce', 50_000, 128, undefined],
  ['infonce', 3048, 64, undefined],
] as const)(
  'says where NCE is doubtful: %s with %i images in batches of %i',
  (loss, images, batchSize, said) => {
    const config = resolve({ method: 'instdisc', loss, batchSize });
    const [remark] = methodOf(config).remarks?.(config, images, 1) ?? [];
    if (said === undefined) expect(remark).toBeUndefined();
    else expect(remark).toMatchObject({ kind: 'note', text: expect.stringContaining(said) });
  },
);
