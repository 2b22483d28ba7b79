/** How good features are: kNN accuracy where there are labels, and the label-free retrieval measures. */

import {
  type Backend,
  createExtractor,
  DivergedError,
  type Encoder,
  knnAccuracy,
  type Params,
} from '@moco-ts/core';
import {
  divide,
  embedAll,
  evalImages,
  evaluateRetrieval,
  HELD_OUT,
  type ImageDataset,
  type LabelledSet,
  labelSplits,
  neighbourAccuracy,
  type Pool,
  retrievalTasks,
  type SkippedImage,
} from '@moco-ts/data';
import { modelConfig, type RunConfig } from '@moco-ts/run';
import { type Note, openDataSplits } from './dataset.ts';
import { expectFinite } from './finite.ts';

/** In percent; what a data set does not allow is missing. */
export interface Measures {
  /** Weighted kNN accuracy on the test split. */
  readonly knn?: number;
  /** Held-out images: the original of an edited copy is the nearest. */
  readonly editedCopies?: number;
  /** Held-out emoji: another designer's drawing of the same one is the nearest. */
  readonly crossDesigner?: number;
  /** Held-out emoji: the nearest other image is of the same category. */
  readonly neighbour?: number;
}

export interface Timing {
  /** Decoding and embedding. */
  readonly featureSeconds: number;
  readonly searchSeconds: number;
  readonly images: number;
}

export interface Evaluation {
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  /** Of kNN: what it is to be compared with. */
  readonly guess?: Guess;
  /** @throws DivergedError for features that are not finite, as `measure` does */
  run(backend: Backend, params: Params, pool: Pool): Promise<Measured>;
  /** The same for features that come from elsewhere; `backend` searches. */
  measure(source: FeatureSource, backend: Backend, pool: Pool): Promise<Measured>;
}

/** Answering without looking at the image. */
export interface Guess {
  readonly classes: number;
  /** Of the test split, in percent: accuracy of naming its most frequent class always. */
  readonly accuracy: number;
}

export function guessOf(labels: Int32Array, classes: number): Guess {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) if (label >= 0) counts[label]!++;
  return { classes, accuracy: (100 * Math.max(...counts)) / labels.length };
}

export type Measured = Measures & { readonly timing: Timing };

/** What makes features [N, dim] of images [N, 3, S, S]. */
export interface FeatureSource {
  readonly dim: number;
  extract(images: Float32Array): Promise<Float32Array>;
}

export interface KnnSettings {
  readonly k: number;
  readonly temperature: number;
}

/** Where nobody asks for others. */
export const usualKnn: KnnSettings = { k: 200, temperature: 0.1 };

/** Sets that a program gives instead of a name. */
export interface EvaluationSets {
  readonly train: ImageDataset;
  /** Images that are not trained on. */
  readonly test?: ImageDataset;
}

/** What the user hears of the data that are measured on. */
export interface EvaluationEvents {
  readonly note: Note;
  /** Of damaged images, which are left out. */
  readonly onSkip: (skipped: SkippedImage) => void;
  /** The values of the images were looked at already. */
  readonly surveyed?: boolean;
}

const BATCH = 64;

/**
 * Opens what is measured on: both splits with kNN where the set has labels (not for emoji, whose categories are coarse),
 * else the held-out images alone, or all when none are held out.
 * @throws UserError for labels that can't be used, before anything is measured
 */
export async function openEvaluation(
  config: RunConfig,
  knn: KnnSettings,
  events: EvaluationEvents,
  given?: EvaluationSets,
  encoder?: Encoder,
): Promise<Evaluation> {
  const { train, test } = given ? setsOf(given, events.note) : await openSets(config, events);
  const emoji = train.source.data === 'emoji';
  const isLabelled = train.classes !== undefined && !emoji && config.labels !== false;
  const labels = isLabelled ? labelSplits(train, test) : undefined;
  for (const text of labels?.notes ?? []) events.note(text);
  const { imageSize: size, mean, std, maxBad } = config;
  const target = { size, mean, std };
  const measure: Evaluation['measure'] = async (source, backend, pool) => {
    const embed = async (data: Float32Array) => {
      const features = await source.extract(data);
      expectFinite(features, source.dim, 'features');
      return features;
    };
    const read = { pool, batch: BATCH, onSkip: events.onSkip, ...(maxBad !== undefined && { maxBad }) };
    const started = performance.now();
    if (labels) {
      const features = async ({ dataset, labels }: LabelledSet) => {
        const { features, rows } = await embedAll(evalImages(dataset, target), embed, read);
        return { features, labels: rows.map((row) => labels[row]!) };
      };
      const bank = await features(labels.train);
      const queries = await features(labels.test);
      const embedded = performance.now();
      const classes = labels.classes.length;
      const accuracy = await knnAccuracy(backend, bank, queries, { dim: source.dim, classes, ...knn });
      const images = bank.labels.length + queries.labels.length;
      return { knn: accuracy, timing: timing(started, embedded, images) };
    }
    const scores = await evaluateRetrieval(retrievalTasks(test, target), embed, read);
    const [copies, designers] = [scores['edited-copies'], scores['cross-designer']];
    const measures: Measures = {
      ...(copies !== undefined && { editedCopies: 100 * copies }),
      ...(designers !== undefined && { crossDesigner: 100 * designers }),
    };
    const embedded = performance.now();
    if (!emoji) return { ...measures, timing: timing(started, embedded, test.length) };
    const embeddedTest = await embedAll(evalImages(test, target), embed, read);
    const neighbour = 100 * neighbourAccuracy(test, embeddedTest);
    return { ...measures, neighbour, timing: timing(started, embedded, test.length) };
  };
  return {
    train,
    test,
    ...(labels && { guess: guessOf(labels.test.labels, labels.classes.length) }),
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

interface Sets {
  readonly train: ImageDataset;
  readonly test: ImageDataset;
}

function setsOf({ train, test }: EvaluationSets, note: Note): Sets {
  if (test !== undefined || train.classes === undefined) return { train, test: test ?? train };
  const parts = divide(train, HELD_OUT);
  note(
    `${train.name}: no testData: ${parts.test.length} of ${train.length} images are held out of the measure's bank by a fixed rule`,
  );
  return parts;
}

async function openSets(config: RunConfig, { note, surveyed = false }: EvaluationEvents): Promise<Sets> {
  const { train, test } = await openDataSplits(config, note, surveyed);
  if (train.unlabelled !== undefined)
    note(`${train.name} has no labels (${train.unlabelled}): retrieval is measured`);
  return { train, test: test ?? train };
}

function timing(started: number, embedded: number, images: number): Timing {
  const now = performance.now();
  return { featureSeconds: (embedded - started) / 1000, searchSeconds: (now - embedded) / 1000, images };
}

/**
 * What was measured, or why nothing was: no evaluation ends a training, but one by which the encoder has diverged.
 * @throws DivergedError for features that are not finite
 */
export async function measuredOr(run: () => Promise<Measured>): Promise<Measured | string> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof DivergedError) throw error;
    return (error as Error).message;
  }
}

/** What people read of each. */
export const measureTitles: Readonly<Record<keyof Measures, string>> = {
  knn: 'kNN accuracy',
  editedCopies: 'edited copies, R@1',
  crossDesigner: 'cross-designer, R@1',
  neighbour: 'neighbour of the same category',
};

/** In the order of reports. */
export const measureNames = Object.keys(measureTitles) as (keyof Measures)[];

/** The measures as rows for people. */
export function measureRows(measures: Measures): [name: string, percent: number][] {
  return measureNames.flatMap((name): [string, number][] => {
    const percent = measures[name];
    return percent === undefined ? [] : [[measureTitles[name], percent]];
  });
}
