/**
 * The settings of a run that methods share. Flags, `--help`, the library's options, the checks of each and the stored
 * configuration are derived from them, and from those of each method (`table.ts`): a new setting is one entry.
 */
import { precisions, say, settingRef } from '@moco-ts/core';
import { IMAGENET_MEAN, IMAGENET_STD } from '@moco-ts/data/portable';
import { defaultMethod, methodNames } from './method-names.ts';
import {
  above,
  duration,
  largestFloat,
  list,
  longest,
  name,
  number,
  text,
  textLike,
  truth,
  whole,
} from './rule.ts';
import { selectors } from './selection.ts';
import { always, type ConfigOf, defaulted, defaultsIn, optional } from './setting.ts';
import { teacherSettings } from './teacher-settings.ts';

const share = number(0, 1);
/** Of lengths of a vector and widths of a layer: a matrix of two has 1 GB. */
const width = whole(1, 16_384);
/** Epochs or steps, from one on. */
const count = whole(1, longest);

export const optimizers = ['sgd', 'adamw', 'lars'] as const;
/** What applies the gradients. */
export type Optimizer = (typeof optimizers)[number];

/** What the heading `Method` lists before what methods have of their own. */
export const methodSettings = {
  /** The folder or the built-in set; `object:NAME` for a data set of a program's own. */
  data: always(text, {}),
  /** The contrastive method, which sets head, temperature, views, optimizer and schedule. Default `moco-v1`. */
  method: defaulted(name(methodNames), {
    default: defaultMethod,
    group: 'Method',
    flags: '--method <name>',
    doc: () => `${methodNames.join(', ')}: sets head, T, views, optimizer, schedule (${defaultMethod})`,
    bound: true,
  }),
  /** Length of queries and keys. Default 128; `moco-v3` 256; `distill` that of the teacher's features. */
  mocoDim: defaulted(width, {
    default: 128,
    group: 'Method',
    flags: '--moco-dim <n>',
    doc: "length of queries and keys (128; moco-v3: 256; distill: the teacher's)",
    bound: true,
  }),
  /** Keys in the queue, a multiple of the batch, default 65536; `instdisc`: noise samples, default 4096. */
  mocoK: defaulted(whole(1, 2 ** 24), {
    default: 65536,
    group: 'Method',
    flags: '--moco-k <n>',
    doc: 'keys in the queue, a multiple of the batch (65536); instdisc: noise samples (4096)',
    label: 'Keys in the queue (K)',
    optIn: true,
    bound: true,
  }),
  /** Momentum of the key encoder, in [0, 1]. Default 0.999; `moco-v3` 0.99. */
  mocoM: defaulted(share, {
    default: 0.999,
    group: 'Method',
    flags: '--moco-m <x>',
    doc: 'momentum of the key encoder (0.999; moco-v3: 0.99)',
    optIn: true,
  }),
  /** `moco-v3`: m rises to 1 by half a cosine. Default true. */
  mocoMCos: defaulted(truth, {
    default: false,
    group: 'Method',
    flags: '--moco-m-cos',
    doc: 'moco-v3: m rises to 1 by half a cosine (on)',
    not: 'moco-v3: m stays',
    optIn: true,
  }),
  /** Temperature. Default 0.07; `moco-v2` and `distill` 0.2; `moco-v3` 0.2 for ViTs, 1 for ResNets; `simclr` 0.1. */
  mocoT: defaulted(above(0, 1000), {
    default: 0.07,
    group: 'Method',
    flags: '--moco-t <x>',
    doc: 'temperature (0.07; moco-v2, distill 0.2; moco-v3 0.2 for ViTs, 1 for ResNets; simclr 0.1)',
    optIn: true,
  }),
  /** A head of two layers. Default that of the method: `moco-v2`, `simclr` and `distill` have it. */
  mlp: defaulted(truth, {
    default: false,
    group: 'Method',
    flags: '--mlp',
    doc: 'two-layer head (moco-v2, simclr, distill)',
    not: 'linear head (moco-v1, instdisc)',
    optIn: true,
    bound: true,
  }),
  /** `moco-v3`: width of the hidden layers of projector and predictor. Default 4096. */
  mocoMlpDim: defaulted(width, {
    default: 4096,
    group: 'Method',
    flags: '--moco-mlp-dim <n>',
    doc: "moco-v3: width of the heads' hidden layers (4096)",
    optIn: true,
    bound: true,
  }),
  ...teacherSettings,
};

/** What `--help` lists behind those. */
export const runSettings = {
  /**
   * Groups of batch normalisation; `shuffle`: with permuted keys; `sync`: one group over all replicas; `plain`: one on each. Default
   * `shuffle` where there is a queue, else `sync`.
   */
  bn: defaulted(name(['shuffle', 'split', 'sync', 'plain']), {
    default: 'shuffle',
    group: 'Method',
    flags: '--bn <kind>',
    doc: 'shuffle: groups, keys permuted; split: groups; sync: the whole batch; plain: of each replica (shuffle where there is a queue, else sync)',
    optIn: {
      value: 'shuffle',
      refusal: (method) =>
        say`${settingRef('bn', 'shuffle')} permutes the keys of a queue, which ${method} has not; choose sync, split or plain`,
    },
  }),
  /** Groups of batch normalisation, of the whole batch: R replicas have as many of them each as R goes into them, at least one. Default 8. */
  bnSplits: defaulted(whole(1, 65_536), {
    default: 8,
    group: 'Method',
    flags: '--bn-splits <n>',
    doc: 'groups of batch normalisation (8)',
  }),
  /** An encoder's name. Default `resnet50`. */
  arch: defaulted(text, {
    default: 'resnet50',
    group: 'Encoder and views',
    flags: '-a, --arch <name>',
    doc: 'encoder (resnet50)',
    label: 'Encoder',
    bound: true,
  }),
  /** Side of a view in pixels. Default 224; 32 for emoji, CIFAR and idx sets. */
  imageSize: always(whole(1, 4096), {
    group: 'Encoder and views',
    flags: '--image-size <px>',
    doc: 'side of a view (224; 32 for emoji, CIFAR and idx sets)',
  }),
  /** ResNets: default `imagenet`, up to 64 pixels `cifar`. */
  stem: optional(name(['imagenet', 'cifar']), {
    group: 'Encoder and views',
    flags: '--stem <kind>',
    doc: "imagenet or cifar (the arch's; cifar up to 64 px)",
    bound: true,
  }),
  /** ViTs: side of a patch in pixels. Default 16. */
  patchSize: optional(whole(1, 4096), {
    group: 'Encoder and views',
    flags: '--patch-size <px>',
    doc: 'ViTs: side of a patch (16)',
    bound: true,
  }),
  /** ViTs: leave the linear patch projection as initialised (MoCo v3, section 4.2). Default true. */
  stopGradConv1: defaulted(truth, {
    default: true,
    group: 'Encoder and views',
    flags: '--stop-grad-conv1',
    doc: 'ViTs: leave the patch projection as initialised (on)',
    not: 'ViTs: train the patch projection',
    bound: true,
  }),
  /** The views of MoCo v2, with blur. Default that of the method: `moco-v2`, `simclr` and `distill` have them. */
  augPlus: defaulted(truth, {
    default: false,
    group: 'Encoder and views',
    flags: '--aug-plus',
    doc: 'views of MoCo v2: with blur (moco-v2, simclr, distill)',
    not: 'views of MoCo v1 (moco-v1, instdisc)',
    optIn: true,
  }),
  /** Blur, where the views have it. Default true. */
  blur: defaulted(truth, {
    default: true,
    group: 'Encoder and views',
    flags: '--blur',
    doc: 'views with blur, where they have it (on)',
    not: 'views without blur',
  }),
  /** Least share of an image's area in a crop, in (0, 1]. Default 0.2; `moco-v3` 0.08. */
  cropMin: defaulted(above(0, 1), {
    default: 0.2,
    group: 'Encoder and views',
    flags: '--crop-min <x>',
    doc: 'least share of the area in a crop (0.2; moco-v3: 0.08)',
  }),
  /** Largest shift of hue in views, of a full turn. Default that of the method: 0.1; `moco-v1` and `instdisc` 0.4. */
  hue: optional(number(0, 0.5), {
    group: 'Encoder and views',
    flags: '--hue <x>',
    doc: 'largest shift of hue, of a full turn (0.1; moco-v1, instdisc: 0.4)',
  }),
  /** Share of views without colour. Default 0.2. */
  grayscale: optional(share, {
    group: 'Encoder and views',
    flags: '--grayscale <x>',
    doc: 'share of views without colour (0.2)',
  }),
  /** Of the channels R, G, B in [0, 1], subtracted from pixels. Default ImageNet's, as the papers have them whatever the images. */
  mean: defaulted(list(number(-1000, 1000), 3, 3), {
    default: IMAGENET_MEAN,
    group: 'Encoder and views',
    flags: '--mean <r,g,b>',
    doc: "of R, G and B in [0, 1], subtracted from pixels; one number for all (ImageNet's)",
  }),
  /** Of the channels, by which pixels are divided. Default ImageNet's. */
  std: defaulted(list(above(0, 1000), 3, 3), {
    default: IMAGENET_STD,
    group: 'Encoder and views',
    flags: '--std <r,g,b>',
    doc: "of R, G and B, by which pixels are divided; one number for all (ImageNet's)",
  }),
  /** Epochs in all. Default 200; `moco-v3` 300. */
  epochs: defaulted(count, {
    default: 200,
    group: 'Training',
    flags: '--epochs <n>',
    doc: 'epochs in all (200; moco-v3: 300)',
    label: 'Epochs',
  }),
  /** Epoch to count from, without a checkpoint. Default 0. */
  startEpoch: defaulted(whole(0, longest), {
    default: 0,
    group: 'Training',
    flags: '--start-epoch <n>',
    doc: 'epoch to count from, without a checkpoint (0)',
  }),
  /** Images in a step, of all replicas together. Default 256. */
  batchSize: defaulted(whole(1, 65_536), {
    default: 256,
    group: 'Training',
    flags: '-b, --batch-size <n>',
    doc: 'images in a step (256)',
    label: 'Batch',
  }),
  /**
   * Parts of a batch that pass the network one after the other, for less memory: the step follows the mean of their gradients.
   * Batch normalisation sees one part. Not for methods whose loss compares the images of a batch. Default 1.
   */
  accumulate: defaulted(whole(1, 65_536), {
    default: 1,
    group: 'Training',
    flags: '--accumulate <n>',
    doc: 'parts of a batch that pass the network one after the other, for less memory (1)',
    optIn: {
      refusal: (method, takers) =>
        say`${method} takes no ${settingRef('accumulate')}: its loss needs all images of a batch at once. Leave it out, and choose a smaller ${settingRef('batchSize')} where memory is short; ${takers.join(', ')} take it`,
    },
  }),
  /** What applies the gradients. Default `sgd`; `moco-v3` `adamw` for ViTs, else `lars`; `simclr` `lars`. */
  optimizer: defaulted(name(optimizers), {
    default: 'sgd',
    group: 'Training',
    flags: '--optimizer <name>',
    doc: `${optimizers.join(', ')} (sgd; moco-v3: adamw for ViTs, else lars; simclr: lars)`,
    bound: true,
  }),
  /** Learning rate. Default 0.03 for `sgd`, 0.3 for `lars`, 0.001 for `adamw`; `moco-v3` with `adamw` 0.00015. */
  lr: always(above(0, largestFloat), {
    group: 'Training',
    flags: '--lr <x>',
    doc: 'learning rate (sgd 0.03, lars 0.3, adamw 0.001; moco-v3 with adamw 0.00015)',
    label: 'Learning rate',
  }),
  /** The rate is for a batch of 256, and grows with it. Default true for `moco-v3` and `simclr`. */
  scaleLr: defaulted(truth, {
    default: false,
    group: 'Training',
    flags: '--scale-lr',
    doc: 'the rate is for a batch of 256, and grows with it (moco-v3, simclr)',
    not: 'the rate is taken as it is (the others)',
  }),
  /** Epochs at which the rate falls tenfold. Default 120 and 160. */
  schedule: defaulted(list(whole(0, longest), 0, 1000), {
    default: [120, 160],
    group: 'Training',
    flags: '--schedule <epochs...>',
    doc: 'epochs at which the rate falls tenfold (120 160)',
  }),
  /** Cosine schedule. Default that of the method: `moco-v2`, `moco-v3`, `simclr` and `distill` have it. */
  cos: defaulted(truth, {
    default: false,
    group: 'Training',
    flags: '--cos',
    doc: 'cosine schedule (moco-v2, moco-v3, simclr, distill)',
    not: 'step schedule (moco-v1, instdisc)',
  }),
  /** Follow the schedule within epochs too. Default true for `moco-v3` and `simclr`. */
  lrPerStep: defaulted(truth, {
    default: false,
    group: 'Training',
    flags: '--lr-per-step',
    doc: 'follow the schedule within epochs too (moco-v3, simclr)',
    not: 'change the rate at epochs alone (the others)',
  }),
  /** Epochs of a linear rise. Default 0; `moco-v3` 40 for ViTs, else 10; `simclr` 10. */
  warmupEpochs: always(number(0, longest), {
    group: 'Training',
    flags: '--warmup-epochs <n>',
    doc: 'epochs of a linear rise (0; moco-v3: 40 for ViTs, else 10; simclr: 10)',
  }),
  /** Of `sgd` and `lars`, in [0, 1]. Default 0.9. */
  momentum: defaulted(share, {
    default: 0.9,
    group: 'Training',
    flags: '--momentum <x>',
    doc: 'momentum of sgd and lars (0.9)',
  }),
  /** Weight decay. Default 0.0001; `lars` 0.000001; `moco-v3` with `adamw` 0.1. */
  wd: always(number(0, largestFloat), {
    group: 'Training',
    flags: '--wd, --weight-decay <x>',
    doc: 'weight decay (0.0001; lars 0.000001; moco-v3 with adamw 0.1)',
  }),
  /** Decides weights, order, views and permutations; below 2^32. Default 0. */
  seed: defaulted(whole(0, 2 ** 32 - 1), {
    default: 0,
    group: 'Training',
    flags: '--seed <n>',
    doc: 'decides weights, order, views, permutations (0)',
    label: 'Seed',
  }),
  /** Threads that make views. Default the machine's cores less one, 8 at most; 0: the calling thread. */
  workers: always(whole(0, 256), {
    group: 'Data',
    flags: '-j, --workers <n>',
    doc: 'threads that make views (cores - 1, at most 8)',
  }),
  /** Decode in processes instead of threads: an image that crashes the decoder is left out. Default false. */
  isolate: optional(truth, {
    group: 'Data',
    flags: '--isolate',
    doc: 'processes instead: an image that crashes the decoder is left out',
  }),
  /** Damaged images that are left out before it is an error. Default 1 %, at least 10. */
  maxBad: optional(whole(0, longest), {
    group: 'Data',
    flags: '--max-bad <n>',
    doc: 'damaged images that are left out before it is an error (1 %, at least 10)',
  }),
  /** Share of an image folder that is kept for testing, in [0, 1]. Default 0. */
  holdOut: optional(share, {
    group: 'Data',
    flags: '--hold-out <x>',
    doc: 'share of an image folder kept for testing (0)',
  }),
  /** False: folders are no classes, and evaluations measure retrieval. Default true. */
  labels: optional(truth, {
    group: 'Data',
    flags: '--labels',
    doc: 'class folders are labels, for evaluations alone (on)',
    not: 'folders are no classes: evaluations measure retrieval',
  }),
  /** `emoji`: whose drawings. Default google and twitter. */
  designers: optional(list(text, 1, 16), {
    group: 'Data',
    flags: '--designers <names>',
    doc: 'emoji: google,twitter,apple,facebook (google,twitter)',
  }),
  /** What computes, by name. Default `ort`. */
  backend: defaulted(text, {
    default: 'ort',
    group: 'Machine',
    flags: '--backend <name>',
    doc: 'what computes; see moco backends; auto: the quickest (ort)',
    label: 'Computed by',
  }),
  /** Threads of the backend. Default all cores; of several processes on a machine its share. */
  threads: optional(whole(1, 1024), {
    group: 'Machine',
    flags: '--threads <n>',
    doc: 'threads of the backend (all cores)',
  }),
  /**
   * Devices of the backend that share each batch, a replica on each: `all`, how many, or their numbers from 0, as `0,1`. `xla` alone;
   * elsewhere processes share it (docs/many-devices.md). Default one.
   */
  devices: optional(textLike(/^(all|\d{1,6}(,\d{1,6})*)$/, 'Give all, how many, or their numbers, as 0,1.'), {
    group: 'Machine',
    flags: '--devices <which>',
    doc: 'devices that share each batch: all, how many, or 0,1; xla alone (1)',
  }),
  /** Compute activations again in the backward pass instead of keeping them: less memory, longer steps, the same training. Default false. */
  checkpointActivations: defaulted(truth, {
    default: false,
    group: 'Machine',
    flags: '--checkpoint-activations',
    doc: 'compute activations again in the backward pass: less memory, longer steps',
    not: 'keep activations for the backward pass (on)',
  }),
  /** In what steps compute, where the backend has it; weights, statistics and the loss stay float32. Default `fp32`. */
  precision: defaulted(name(precisions), {
    default: 'fp32',
    group: 'Machine',
    flags: '--precision <name>',
    doc: `${precisions.join(', ')}: in what steps compute; more than fp32 on xla alone (fp32)`,
  }),
  /** What the user loaded by `--plugin`; to tell, never to load by itself. */
  plugin: optional(list(text, 0, 64), { recorded: true }),
  /** Weights to begin from: a file that `moco import` takes, a checkpoint or a run folder. Default random. */
  init: optional(text, {
    group: 'Run',
    flags: '--init <path>',
    doc: 'begin from the weights of a run, a checkpoint or a file that moco import takes (random)',
    bound: true,
  }),
  /** Stop, and save, after this many steps of the run; one that goes on has its own limit, or none. */
  maxSteps: optional(count, {
    group: 'Run',
    flags: '--max-steps <n>',
    doc: 'stop, and save, after this many steps of the run',
  }),
  /**
   * How long the run takes in all, with everything that it does until its end: schedules follow the time instead of epochs, of
   * which there are as many as fit, or `epochs` at most where it is named. Seconds; default none.
   */
  time: optional(duration, {
    group: 'Run',
    flags: '--time <duration>',
    doc: 'end after so long (90s, 30m, 1h30m): schedules follow time, not epochs',
    label: 'Time',
  }),
  /** Each step at the share of the training that it had in a run with `time`: the log of that run, or its folder. */
  progressFrom: optional(text, {
    group: 'Run',
    flags: '--progress-from <path>',
    doc: 'a run that ended by time, or its log: take its steps, at their places in the schedule',
  }),
  /** No number of epochs ends the run: `epochs` is but a measure of its schedules. To tell: whoever names `epochs` sets an end. */
  openEnded: optional(truth, { recorded: true }),
  /** Steps between lines of the log. Default 10. */
  printFreq: defaulted(count, {
    default: 10,
    group: 'Run',
    flags: '-p, --print-freq <n>',
    doc: 'steps between lines of the log (10)',
  }),
  /** Epochs between checkpoints. Default 1. */
  saveEvery: defaulted(count, {
    default: 1,
    group: 'Run',
    flags: '--save-every <n>',
    doc: 'epochs between checkpoints (1)',
  }),
  /** Steps of the run between checkpoints, besides those of whole epochs. Default none. */
  saveEverySteps: optional(count, {
    group: 'Run',
    flags: '--save-every-steps <n>',
    doc: 'steps between checkpoints, besides (none)',
  }),
  /** Checkpoints to keep. Default 3. */
  keep: defaulted(count, { default: 3, group: 'Run', flags: '--keep <n>', doc: 'checkpoints to keep (3)' }),
  /** Epochs between evaluations; below 1 a share of the run; 0: never. Default 0, with `select` 0.05. Earlier versions call it `knnEvery`. */
  measureEvery: defaulted(number(0, longest), {
    default: 0,
    group: 'Run',
    flags: '--measure-every, --knn-every <n>',
    doc: 'epochs between evaluations; below 1 a share of the run; 0: never (0; 0.05 where there is a choice)',
  }),
  /**
   * Keep the best checkpoint too, by what evaluations measure: R@1 of edited copies of images that are not trained on
   * (`retrieval`), kNN accuracy on such images (`knn`), or the mean loss of the epoch. Without a test split a fifth of the images,
   * at most 5000, is not trained on then. Default `none`.
   */
  select: defaulted(name(selectors), {
    default: 'none',
    group: 'Run',
    flags: '--select <measure>',
    doc: `keep the best checkpoint too, by a measure: ${selectors.slice(1).join(', ')} (none)`,
    bound: true,
  }),
  /** Of `select`: end after this many evaluations without a better checkpoint. Default never. */
  patience: optional(count, {
    group: 'Run',
    flags: '--patience <n>',
    doc: 'of a choice: end after this many evaluations without a better checkpoint (never)',
  }),
};

/** All settings that methods share. */
export const commonSettings = { ...methodSettings, ...runSettings };
/** The name of a setting that methods share, as configurations have it. */
export type CommonName = keyof typeof commonSettings;
/** The values of the settings that methods share. */
export interface CommonConfig extends ConfigOf<typeof commonSettings> {}

/** Those of them that depend on nothing. */
export const commonDefaults = defaultsIn(commonSettings);
