// Recipes to compare, as settings of `moco pretrain`. Each is trained on the same number of images.

const common = {
  imageSize: 32,
  optimizer: 'adamw',
  lr: 2e-3,
  scaleLr: false,
  cos: true,
  lrPerStep: true,
  batchSize: 64,
  cropMin: 0.35,
  hue: 0.05,
  grayscale: 0.1,
};
const simclr = { ...common, method: 'simclr', arch: 'resnet-mini', mocoT: 0.1 };
const queue = { ...common, method: 'moco-v2', arch: 'resnet-mini', mocoT: 0.1, mocoM: 0.996 };
const v3 = {
  ...common,
  method: 'moco-v3',
  arch: 'resnet-mini',
  mocoT: 0.2,
  mocoM: 0.95,
  mocoMlpDim: 512,
  wd: 1e-4,
};

export const recipes = {
  simclr,
  'moco-v3': v3,
  'moco-v2, K 256': { ...queue, mocoK: 256 },
  'moco-v2, K 4096': { ...queue, mocoK: 4096, mocoM: 0.99 },
  // What `moco demo` trained with until there was `moco train`.
  'the first demo': {
    ...common,
    method: 'moco-v2',
    arch: 'resnet-tiny',
    mocoK: 1024,
    mocoM: 0.99,
    mocoT: 0.2,
    hue: undefined,
    grayscale: undefined,
  },
  'simclr, resnet-tiny': { ...simclr, arch: 'resnet-tiny' },
  'simclr, resnet-micro': { ...simclr, arch: 'resnet-micro' },
  'simclr, resnet18': { ...simclr, arch: 'resnet18', lr: 1e-3 },
  'simclr, no warm-up': { ...simclr, warmupEpochs: 0 },
  'simclr, T .07': { ...simclr, mocoT: 0.07 },
  'simclr, T .15': { ...simclr, mocoT: 0.15 },
  'simclr, T .2': { ...simclr, mocoT: 0.2 },
  'simclr, batch 32': { ...simclr, batchSize: 32 },
  'simclr, batch 128': { ...simclr, batchSize: 128 },
  'simclr, batch 256': { ...simclr, batchSize: 256 },
  'simclr, lr .001': { ...simclr, lr: 1e-3 },
  'simclr, lr .004': { ...simclr, lr: 4e-3 },
  'simclr, no blur': { ...simclr, blur: false },
  'simclr, crop .2': { ...simclr, cropMin: 0.2 },
  'simclr, crop .5': { ...simclr, cropMin: 0.5 },
  'simclr, usual colour': { ...simclr, hue: undefined, grayscale: undefined },
  'simclr, 24 px': { ...simclr, imageSize: 24 },
  'simclr, 48 px': { ...simclr, imageSize: 48 },
  'simclr, 64 px': { ...simclr, imageSize: 64 },
};
