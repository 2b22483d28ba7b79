/** What a classifier is trained and evaluated on: labelled batches of images or of features kept in memory, and accuracies. */

import {
  allFinite,
  type Backend,
  createExtractor,
  DataError,
  type FeatureExtractor,
  featureEncoder,
  type Params,
  rng,
  type Tensor,
} from '@moco-ts/core';
import {
  classifierView,
  createLoader,
  embedAll,
  evalImages,
  type LabelledSet,
  type Loader,
  type Pool,
  type SkippedImage,
} from '@moco-ts/data';
import { modelConfig } from '@moco-ts/run';
import type { ClassifierInfo } from './classifier-file.ts';
import { expectFinite } from './finite.ts';

/** An encoder and what runs it. */
export interface EncoderAtWork {
  readonly info: Pick<ClassifierInfo, 'recipe' | 'run'>;
  /** The encoder's parameters, without prefix. */
  readonly params: Params;
  readonly backend: Backend;
  readonly pool: Pool;
  /** Damaged images that are left out before it is an error. */
  readonly maxBad?: number;
  readonly onSkip: (skipped: SkippedImage) => void;
}

export interface Accuracy {
  /** Percent. */
  readonly acc1: number;
  readonly acc5: number;
}

const BATCH = 64;

export interface LabelledBatch {
  readonly x: Tensor;
  readonly label: Tensor;
}

export interface LabelledBatches {
  readonly stepsPerEpoch: number;
  epoch(epoch: number): AsyncIterable<LabelledBatch>;
  close(): Promise<void>;
}

/** Augmented images, different ones each epoch. */
export function imageBatches(
  { info, pool, maxBad, onSkip }: EncoderAtWork,
  { dataset, labels }: LabelledSet,
): LabelledBatches {
  const { recipe, run } = info;
  const { imageSize: size, mean, std } = run;
  const loader: Loader = createLoader(dataset, {
    batch: recipe.batchSize,
    size,
    views: [classifierView({ size, cropMin: recipe.cropMin })],
    mean,
    std,
    seed: recipe.seed,
    workers: pool.workers,
    pool,
    ...(maxBad !== undefined && { maxBad }),
    onSkip,
  });
  return {
    stepsPerEpoch: loader.stepsPerEpoch,
    epoch: async function* (epoch) {
      for await (const { indices, views } of loader.epoch(epoch))
        yield labelled(views[0]!, [indices.length, 3, size, size], indices, labels);
    },
    close: () => loader.close(),
  };
}

export interface Features {
  readonly data: Float32Array;
  readonly labels: Int32Array;
  readonly dim: number;
}

/** The features of all images that could be read, of the images as they are. */
export async function featuresOf(job: EncoderAtWork, set: LabelledSet): Promise<Features> {
  const extractor = await createExtractor(job.backend, modelConfig(job.info.run), job.params, BATCH);
  try {
    const features = await embed(job, set, extractor);
    expectFinite(features.data, extractor.dim, 'features');
    return features;
  } finally {
    await extractor.dispose();
  }
}

async function embed(
  { info, pool, maxBad, onSkip }: EncoderAtWork,
  { dataset, labels }: LabelledSet,
  extractor: FeatureExtractor,
): Promise<Features> {
  const { imageSize: size, mean, std } = info.run;
  const images = evalImages(dataset, { size, mean, std });
  const read = { pool, batch: BATCH, onSkip, ...(maxBad !== undefined && { maxBad }) };
  const { features, rows, dim } = await embedAll(images, (data) => extractor.extract(data), read);
  return { data: features, labels: rows.map((row) => labels[row]!), dim };
}

/** Features in a new order each epoch. */
export function cachedBatches(
  { data, labels, dim }: Features,
  { batchSize, seed }: ClassifierInfo['recipe'],
): LabelledBatches {
  if (labels.length < batchSize)
    throw new DataError(`only ${labels.length} images are readable, fewer than a batch of ${batchSize}`, {
      setting: 'batchSize',
      value: batchSize,
    });
  return {
    stepsPerEpoch: Math.floor(labels.length / batchSize),
    epoch: async function* (epoch) {
      const order = rng(seed, 'order', epoch).permutation(labels.length);
      for (let at = 0; at + batchSize <= order.length; at += batchSize) {
        const indices = order.subarray(at, at + batchSize);
        const rows = new Float32Array(batchSize * dim);
        indices.forEach((index, row) => {
          rows.set(data.subarray(index * dim, (index + 1) * dim), row * dim);
        });
        yield labelled(rows, [batchSize, dim, 1, 1], indices, labels);
      }
    },
    close: async () => undefined,
  };
}

function labelled(
  data: Float32Array,
  shape: readonly number[],
  indices: Int32Array,
  labels: Int32Array,
): LabelledBatch {
  return {
    x: { shape, dtype: 'float32', data },
    label: { shape: [indices.length], dtype: 'int32', data: indices.map((index) => labels[index]!) },
  };
}

/** The test split's accuracy, the whole network run. @throws DivergedError for logits that are not finite */
export async function validation(
  job: EncoderAtWork,
  test: LabelledSet,
  params: Params,
  classes: number,
): Promise<Accuracy> {
  const model = { ...modelConfig(job.info.run), head: { classes } };
  const extractor = await createExtractor(job.backend, model, params, BATCH);
  try {
    const { data: logits, labels } = await embed(job, test, extractor);
    expectFinite(logits, classes, 'logits');
    return accuracy(logits, labels, classes);
  } finally {
    await extractor.dispose();
  }
}

/** The same for a frozen encoder, whose features of the test split are computed once. */
export async function linearValidation(job: EncoderAtWork, test: LabelledSet, classes: number) {
  const { data, labels, dim } = await featuresOf(job, test);
  const model = { encoder: featureEncoder(dim), encoderConfig: { imageSize: 1 }, head: { classes } };
  return async (params: Params): Promise<Accuracy> => {
    const fc = { 'fc.weight': params['fc.weight']!, 'fc.bias': params['fc.bias']! };
    const extractor = await createExtractor(job.backend, model, fc, 256);
    try {
      const logits = await extractor.extract(data);
      expectFinite(logits, classes, 'logits');
      return accuracy(logits, labels, classes);
    } finally {
      await extractor.dispose();
    }
  };
}

/**
 * Percent of rows in which the label's logit is the largest, and among the 5 largest. A row of values that are not finite
 * counts as wrong, as does a label that is no class.
 * @param logits [N, C]
 */
export function accuracy(logits: Float32Array, labels: Int32Array, classes: number): Accuracy {
  let [first, five] = [0, 0];
  labels.forEach((label, row) => {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    if (!(label >= 0 && label < classes) || !allFinite(own)) return;
    const above = own.reduce((count, value, c) => count + Number(c !== label && value >= own[label]!), 0);
    first += Number(above < 1);
    five += Number(above < 5);
  });
  return { acc1: (100 * first) / labels.length, acc5: (100 * five) / labels.length };
}
