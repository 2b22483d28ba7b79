/** An encoder beside what it should beat: the same network before training, and the pixels themselves. */
import type { Backend, Encoder, Params } from '@moco-ts/core';
import { type ImageDataset, type Pool, subset } from '@moco-ts/data';
import type { RunConfig } from '@moco-ts/run';
import {
  type Evaluation,
  type EvaluationEvents,
  type FeatureSource,
  guessOf,
  type Measures,
  measureNames,
  openEvaluation,
  usualKnn,
} from '../evaluate.ts';

/** What is measured on. */
export interface ComparisonSets {
  /** The bank of kNN. */
  readonly train: ImageDataset;
  readonly test: ImageDataset;
  /** The test images are trained on too, since there are too few to hold any out. */
  readonly seen: boolean;
}

/** Measures encoders on the same images in the same way. */
export interface Comparison {
  /** What is measured on. */
  readonly asked: ImageDataset;
  readonly images: number;
  readonly classes?: number;
  readonly seen: boolean;
  /** In percent, what guessing gives. */
  readonly chance: Measures;
  pixels(backend: Backend, pool: Pool): Promise<Measures>;
  /** @param params of the query encoder */
  encoder(backend: Backend, params: Params, pool: Pool): Promise<Measures>;
}

/** Images that are measured on at most, and those of the bank: more change no verdict, and cost time. */
const MOST_ASKED = 1000;
const MOST_IN_BANK = 10_000;

/** @throws UserError for labels that can't be used */
export async function openComparison(
  config: RunConfig,
  { train, test, seen }: ComparisonSets,
  events: EvaluationEvents,
  encoder?: Encoder,
): Promise<Comparison> {
  const open = (sets: { train: ImageDataset; test: ImageDataset }) =>
    openEvaluation(config, usualKnn, events, sets, encoder);
  const isEmoji = train.source.data === 'emoji';
  const isLabelled = !isEmoji && !seen && train.classes !== undefined && test.classes !== undefined;
  // Of emoji each drawing needs those of the other designers.
  const asked = isEmoji ? test : thinned(test, MOST_ASKED);
  const evaluations = [
    await open(isEmoji ? { train, test } : { train: unlabelled(train), test: unlabelled(asked) }),
    ...(isLabelled ? [await open({ train: thinned(train, MOST_IN_BANK), test: asked })] : []),
  ];
  const all = async (measure: (evaluation: Evaluation) => Promise<Measures & { timing: unknown }>) => {
    let measures: Measures = {};
    for (const evaluation of evaluations) {
      const { timing: _, ...own } = await measure(evaluation);
      measures = { ...measures, ...own };
    }
    return measures;
  };
  return {
    asked,
    images: asked.length,
    ...(isLabelled && { classes: train.classes!.length }),
    seen,
    chance: Object.assign({}, ...evaluations.map(chanceOf)) as Measures,
    pixels: (backend, pool) =>
      all((evaluation) => evaluation.measure(pixelFeatures(config.imageSize), backend, pool)),
    encoder: (backend, params, pool) => all((evaluation) => evaluation.run(backend, params, pool)),
  };
}

/** At most so many images, evenly spaced. */
function thinned(dataset: ImageDataset, most: number): ImageDataset {
  const { length } = dataset;
  if (length <= most) return dataset;
  return subset(
    dataset,
    Array.from({ length: most }, (_, i) => Math.floor((i * length) / most)),
  );
}

function unlabelled({ classes: _, ...dataset }: ImageDataset): ImageDataset {
  return { ...dataset, label: () => undefined };
}

/** In percent, what answering without looking is right in, on average. Measures that were not made are chance's to leave out. */
export function chanceOf({ test, guess }: Pick<Evaluation, 'test' | 'guess'>): Measures {
  if (guess) return { knn: guess.accuracy };
  const all = { editedCopies: 100 / test.length };
  if (test.source.data !== 'emoji' || !test.classes) return all;
  const designers = new Set(Array.from({ length: test.length }, (_, i) => test.id(i).split('/')[0]));
  const labels = Int32Array.from({ length: test.length }, (_, i) => test.label(i) ?? -1);
  return {
    ...all,
    ...(designers.size > 1 && { crossDesigner: (100 * designers.size) / test.length }),
    neighbour: guessOf(labels, test.classes.length).accuracy,
  };
}

/** Longer sides are averaged down to about this: more pixels find edited copies no better, and take memory. */
const SIDE = 32;

/** The pixels of normalised images [N, 3, S, S] as features. */
export function pixelFeatures(size: number): FeatureSource {
  const side = Math.min(SIDE, size);
  const dim = 3 * side * side;
  const place = Int32Array.from({ length: size }, (_, at) => Math.floor((at * side) / size));
  const counts = new Float32Array(side);
  for (const at of place) counts[at]!++;
  return {
    dim,
    extract: async (images) => {
      const planes = images.length / (size * size);
      const pooled = new Float32Array(planes * side * side);
      for (let plane = 0, at = 0; plane < planes; plane++)
        for (let y = 0; y < size; y++)
          for (let x = 0; x < size; x++, at++)
            pooled[(plane * side + place[y]!) * side + place[x]!]! +=
              images[at]! / (counts[place[y]!]! * counts[place[x]!]!);
      return pooled;
    },
  };
}

/** A measure with its baselines, in percent. */
export interface ComparedRow {
  readonly measure: keyof Measures;
  readonly pixels: number | undefined;
  /** The network as it was before training. */
  readonly before: number | undefined;
  readonly after: number;
  readonly chance: number | undefined;
}

export const comparedRows = (
  pixels: Measures,
  before: Measures,
  after: Measures,
  chance: Measures,
): ComparedRow[] =>
  measureNames.flatMap((measure) => {
    const value = after[measure];
    if (value === undefined) return [];
    const row = { pixels: pixels[measure], before: before[measure], chance: chance[measure] };
    return [{ measure, ...row, after: value }];
  });
