import { say, settingRef, sizeOf, type TrainingStep, type Wording } from '@moco-ts/core';
import type { RunConfig } from '@moco-ts/run';

/**
 * Values that statistics need. Of two one becomes +1 and the other -1, whatever the images: nothing is left to learn from, and where
 * they are nearly equal the gradient is multiplied by up to 1/sqrt(epsilon) = 316 in each such layer.
 */
const LEAST = 4;

/** What to say of a step that normalises by the statistics of a few values. */
export function smallGroups(
  { graph }: Pick<TrainingStep, 'graph'>,
  { batchSize, bnSplits, imageSize }: Pick<RunConfig, 'batchSize' | 'bnSplits' | 'imageSize'>,
): Wording | undefined {
  const fewest = graph.nodes
    .filter(({ op }) => op === 'batchNorm')
    .map(({ inputs: [x] }) => {
      const [images, , ...map] = graph.values[x!]!.shape;
      return images! * sizeOf(map);
    })
    .reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return fewest >= LEAST
    ? undefined
    : say`batch normalisation has the statistics of ${fewest} values a channel in the smallest maps, which can't be learned from and may make the loss infinite: lower ${settingRef('bnSplits', bnSplits)}, or raise ${settingRef('batchSize', batchSize)} or ${settingRef('imageSize', imageSize)}`;
}
