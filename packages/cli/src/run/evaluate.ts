/** How good features are: kNN accuracy where there are labels, and the label-free retrieval measures. */

import {
  type Backend,
  createExtractor,
  type Encoder,
  knnAccuracy,
  type Params,
  UserError,
} from '@moco-ts/core';
import {
  cleanPictures,
  embedAll,
  evaluateRetrieval,
  type ImageDataset,
  neighbourAccuracy,
  type Pool,
  retrievalTasks,
} from '@moco-ts/data';
import { modelConfig, type RunConfig } from '@moco-ts/run';
import { once, openData } from './dataset.ts';
import { expectFinite } from './finite.ts';

/** In percent; what a data set does not allow is missing. */
export interface Measures {
  /** Weighted kNN accuracy on the test split. */
  readonly knn?: number;
  /** Held-out pictures: the original of an edited copy is the nearest. */
  readonly editedCopies?: number;
  /** Held-out emoji: another designer's drawing of the same one is the nearest. */
  readonly otherHands?: number;
  /** Held-out emoji: the nearest other picture is of the same category. */
  readonly neighbour?: number;
}

export interface Timing {
  /** Decoding and embedding. */
  readonly featureSeconds: number;
  readonly searchSeconds: number;
  readonly pictures: number;
}

export interface Evaluation {
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  /** @throws DivergedError for features that are not finite, as `measure` does */
  run(backend: Backend, params: Params, pool: Pool): Promise<Measured>;
  /** The same for features that come from elsewhere; `backend` searches. */
  measure(source: FeatureSource, backend: Backend, pool: Pool): Promise<Measured>;
}

export type Measured = Measures & { readonly timing: Timing };

/** What makes features [N, dim] of pictures [N, 3, S, S]. */
export interface FeatureSource {
  readonly dim: number;
  extract(pictures: Float32Array): Promise<Float32Array>;
}

export interface KnnSettings {
  readonly k: number;
  readonly temperature: number;
}

/** Sets that a program gives instead of a name. */
export interface EvaluationSets {
  readonly train: ImageDataset;
  /** Pictures that are not trained on. */
  readonly test?: ImageDataset;
}

const BATCH = 64;

/**
 * Opens what is measured on: both splits with kNN where the set has labels (not for emoji, whose categories are coarse),
 * else the held-out pictures alone, or all when none are held out.
 */
export async function openEvaluation(
  config: RunConfig,
  knn: KnnSettings,
  given?: EvaluationSets,
  warn?: (text: string) => void,
  encoder?: Encoder,
): Promise<Evaluation> {
  const tell = warn && once(warn);
  const train = given?.train ?? (await openData(config, 'train', tell));
  const emoji = train.source.data === 'emoji';
  const labelled = train.classes !== undefined && !emoji;
  const test = given ? testOf(given, labelled) : await openTest(config, labelled, train, tell);
  const { imageSize: size, mean, std } = config;
  const target = { size, mean, std };
  const measure: Evaluation['measure'] = async (source, backend, pool) => {
    const embed = async (data: Float32Array) => {
      const features = await source.extract(data);
      expectFinite(features, source.dim, 'features');
      return features;
    };
    const read = { pool, batch: BATCH };
    const started = performance.now();
    if (labelled) {
      const [bank, queries] = [
        await embedAll(cleanPictures(train, target), embed, read),
        await embedAll(cleanPictures(test, target), embed, read),
      ];
      const embedded = performance.now();
      const accuracy = await knnAccuracy(
        backend,
        { features: bank, labels: labelsOf(train) },
        { features: queries, labels: labelsOf(test) },
        { dim: source.dim, classes: train.classes!.length, ...knn },
      );
      return { knn: accuracy, timing: timing(started, embedded, train.length + test.length) };
    }
    const scores = await evaluateRetrieval(retrievalTasks(test, target), embed, read);
    const [copies, hands] = [scores['edited-copies'], scores['other-hands']];
    const measures: Measures = {
      ...(copies !== undefined && { editedCopies: 100 * copies }),
      ...(hands !== undefined && { otherHands: 100 * hands }),
    };
    const embedded = performance.now();
    if (!emoji) return { ...measures, timing: timing(started, embedded, test.length) };
    const features = await embedAll(cleanPictures(test, target), embed, read);
    const neighbour = 100 * neighbourAccuracy(test, features);
    return { ...measures, neighbour, timing: timing(started, embedded, test.length) };
  };
  return {
    train,
    test,
    measure,
    run: async (backend, params, pool) => {
      const extractor = await createExtractor(backend, modelConfig(config, false, encoder), params, BATCH);
      try {
        return await measure(extractor, backend, pool);
      } finally {
        await extractor.dispose();
      }
    },
  };
}

function testOf({ train, test }: EvaluationSets, labelled: boolean): ImageDataset {
  if (labelled && test === undefined)
    throw new UserError(
      `${train.name} has no test pictures to measure kNN accuracy on: give some as testData`,
    );
  return test ?? train;
}

function openTest(
  config: RunConfig,
  labelled: boolean,
  train: ImageDataset,
  warn?: (text: string) => void,
): Promise<ImageDataset> {
  return openData(config, 'test', warn).catch((error: Error) => {
    if (labelled) throw error;
    return train;
  });
}

function timing(started: number, embedded: number, pictures: number): Timing {
  const now = performance.now();
  return { featureSeconds: (embedded - started) / 1000, searchSeconds: (now - embedded) / 1000, pictures };
}

export function labelsOf(dataset: ImageDataset): Int32Array {
  return Int32Array.from({ length: dataset.length }, (_, i) => {
    const label = dataset.label(i);
    if (label === undefined) throw new UserError(`${dataset.name}: ${dataset.id(i)} has no label`);
    return label;
  });
}

/** The measures as rows for people. */
export function measureRows(measures: Measures): [name: string, percent: number][] {
  const rows: [string, number | undefined][] = [
    ['kNN accuracy', measures.knn],
    ['edited copies, R@1', measures.editedCopies],
    ['other hands, R@1', measures.otherHands],
    ['neighbour of the same category', measures.neighbour],
  ];
  return rows.filter((row): row is [string, number] => row[1] !== undefined);
}
