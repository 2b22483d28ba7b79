/** Recipes by the names of published rows, each with the figure that it should reach. */
import { traitsNamed } from '@moco-ts/encoders';
import type { RunFlags } from './table.ts';

export interface Preset {
  readonly flags: RunFlags;
  /** For which data the recipe was published. */
  readonly data: string;
  /** What it should reach, in percent. */
  readonly figure: { readonly measure: string; readonly value: number };
  /** Where the figure was published. */
  readonly source: string;
}

const v1 = '1911.05722';
const v2 = '2003.04297';
const v3 = '2104.02057';
const linear = (value: number) => ({ measure: 'linear probe', value });
const knn = (value: number) => ({ measure: 'kNN', value });
const imagenet = 'ImageNet-1M';

const resnetV3: RunFlags = {
  method: 'moco-v3',
  arch: 'resnet50',
  batchSize: 4096,
  cropMin: 0.2,
  warmupEpochs: 10,
};

const vitV3 = (arch: string): RunFlags => ({
  method: 'moco-v3',
  arch,
  batchSize: 4096,
  epochs: 300,
  warmupEpochs: 40,
});

/** The CIFAR-10 demo of the official repository. */
const cifar: RunFlags = {
  method: 'moco-v1',
  arch: 'resnet18',
  stem: 'cifar',
  imageSize: 32,
  batchSize: 512,
  lr: 0.06,
  wd: 5e-4,
  cos: true,
  mocoK: 4096,
  mocoM: 0.99,
  mocoT: 0.1,
  augPlus: true,
  blur: false,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.2023, 0.1994, 0.201],
  measureEvery: 10,
};
const demo = (epochs: number, value: number, symmetric = false): Preset => ({
  flags: { ...cifar, epochs, ...(symmetric && { symmetric }) },
  data: 'CIFAR-10',
  figure: knn(value),
  source: 'official repository, CIFAR-10 demo',
});

export const presets = {
  'moco-v1-200ep': {
    flags: { method: 'moco-v1', arch: 'resnet50', epochs: 200 },
    data: imagenet,
    figure: linear(60.6),
    source: `${v1}, table 1`,
  },
  'moco-v2-200ep': {
    flags: { method: 'moco-v2', arch: 'resnet50', epochs: 200 },
    data: imagenet,
    figure: linear(67.5),
    source: `${v2}, table 1`,
  },
  'moco-v2-800ep': {
    flags: { method: 'moco-v2', arch: 'resnet50', epochs: 800 },
    data: imagenet,
    figure: linear(71.1),
    source: `${v2}, table 2`,
  },
  'moco-v3-resnet50-300ep': {
    flags: { ...resnetV3, epochs: 300, lr: 0.3 },
    data: imagenet,
    figure: linear(72.8),
    source: 'official repository of MoCo v3',
  },
  'moco-v3-resnet50-1000ep': {
    flags: { ...resnetV3, epochs: 1000, lr: 0.3, wd: 1.5e-6, mocoM: 0.996 },
    data: imagenet,
    figure: linear(74.6),
    source: 'official repository of MoCo v3',
  },
  'moco-v3-vit-small': {
    flags: vitV3('vit_small'),
    data: imagenet,
    figure: linear(73.2),
    source: 'official repository of MoCo v3',
  },
  'moco-v3-vit-base': {
    flags: vitV3('vit_base'),
    data: imagenet,
    figure: linear(76.7),
    source: v3,
  },
  'simclr-200ep': {
    flags: { method: 'simclr', arch: 'resnet50', epochs: 200 },
    data: imagenet,
    figure: linear(61.9),
    source: `${v2}, table 2 (batch 256)`,
  },
  'simclr-1000ep': {
    flags: { method: 'simclr', arch: 'resnet50', epochs: 1000, batchSize: 4096 },
    data: imagenet,
    figure: linear(69.3),
    source: `${v2}, table 2 (batch 4096)`,
  },
  instdisc: {
    flags: { method: 'instdisc', arch: 'resnet50', epochs: 200, mocoK: 65536, bankDraw: 'batch' },
    data: imagenet,
    figure: linear(58),
    source: `${v1}, figure 3 (memory bank)`,
  },
  'seed-resnet18': {
    // The teacher, a ResNet-50 of MoCo v2 (200 epochs), is the user's to name.
    flags: { method: 'distill', arch: 'resnet18', epochs: 200 },
    data: imagenet,
    figure: linear(57.6),
    source: '2101.04731, table 1 (teacher ResNet-50)',
  },
  'cifar10-demo': demo(200, 82.6),
  'cifar10-demo-400ep': demo(400, 86.3),
  'cifar10-demo-800ep': demo(800, 88.7),
  'cifar10-demo-symmetric': demo(200, 85.3, true),
  'cifar10-demo-symmetric-400ep': demo(400, 88.5, true),
  'cifar10-demo-symmetric-800ep': demo(800, 89.7, true),
  emoji: {
    flags: {
      data: 'emoji',
      designers: ['google', 'twitter'],
      method: 'moco-v2',
      arch: 'resnet-tiny',
      imageSize: 32,
      cropMin: 0.35,
      batchSize: 64,
      mocoK: 1024,
      mocoM: 0.99,
      mocoT: 0.2,
      optimizer: 'adamw',
      lr: 2e-3,
      cos: true,
      lrPerStep: true,
      epochs: 50,
      saveEvery: 10,
      seed: 0,
    },
    data: 'emoji',
    figure: { measure: 'edited copies, R@1', value: 28.7 },
    source: 'measured by this project: moco demo',
  },
} as const satisfies Readonly<Record<string, Preset>>;

/** A recipe's name, as `moco presets` lists them. */
export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];

/** How a linear classifier is trained on frozen features. */
export interface ProbeRecipe {
  readonly epochs: number;
  readonly batchSize: number;
  readonly lr: number;
  readonly momentum: number;
  readonly wd: number;
  readonly schedule: readonly number[];
  readonly cos: boolean;
  readonly cropMin: number;
}

/** MoCo's (arXiv 1911.05722, section 4.1); the same for v2. */
const probe: ProbeRecipe = {
  epochs: 100,
  batchSize: 256,
  lr: 30,
  momentum: 0.9,
  wd: 0,
  schedule: [60, 80],
  cos: false,
  cropMin: 0.08,
};

/** Of MoCo v3's official repository: rates for a batch of 256, which grow with it. */
function probeV3(arch: string, batchSize = 1024): ProbeRecipe {
  const rate = traitsNamed(arch).family === 'vit' ? 3 : 0.1;
  return { ...probe, epochs: 90, batchSize, lr: (rate * batchSize) / 256, schedule: [], cos: true };
}

/** Linear probes as published, by the encoder's arch and the batch that is asked for. The first is the default. */
export const probePresets = {
  'moco-v1': (): ProbeRecipe => probe,
  'moco-v3': probeV3,
} as const;
export type ProbePresetName = keyof typeof probePresets;
export const probePresetNames = Object.keys(probePresets) as ProbePresetName[];
