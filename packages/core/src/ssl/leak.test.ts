/**
 * How batch normalisation leaks (MoCo, section 3.3). Here an image is noise of its own: nothing in a query's image says
 * which key is its own. But each batch has one loud image, alike in both views though at different places, and it moves
 * the statistics by which all the others are normalised. Normalised with the whole batch, queries and their keys so carry
 * the same mark, which keys of earlier batches lack.
 */
import { expect, it } from 'vitest';
import { defineEncoder } from '../encoder.ts';
import { relu } from '../graph/ops/elementwise.ts';
import { mean } from '../graph/ops/reduce.ts';
import { initBatchNorm, initConv } from '../nn/init.ts';
import { batchNorm, conv } from '../nn/layers.ts';
import { sgd } from '../optim/sgd.ts';
import { type Feed, interpretReplicas } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { scalar, type Tensor, tensor } from '../tensor/tensor.ts';
import { microBatches } from '../train/feeds.ts';
import { mocoState, mocoStep } from './moco.ts';

const [batch, queueSize, imageSize, channels] = [32, 512, 3, 16];
const size = 3 * imageSize * imageSize;
/** Batches that fill the queue, and batches that are measured: 320 queries. */
const [filling, measured] = [queueSize / batch, 10];

const encoder = defineEncoder({
  name: 'one-convolution',
  inputShape: () => [3, imageSize, imageSize],
  featureDim: () => channels,
  init: (_, random) => {
    const params = {};
    initConv(params, 'conv1', [channels, 3, 3, 3], random);
    initBatchNorm(params, 'bn1', channels);
    return params;
  },
  forward: (context, params, x) =>
    mean(relu(batchNorm(context, params, 'bn1', conv(params, 'conv1', x))), [2, 3]),
});

/** One view of a batch: noise, and at `place` a loud pattern that depends on the batch and on `pattern`. */
function view(step: number, side: string, pattern: string, place: number): Tensor {
  const noise = rng(5, `leak/${side}`, step);
  const data = Float32Array.from({ length: batch * size }, noise.normal);
  const loud = rng(5, `leak/loud/${pattern}`, step);
  for (let i = 0; i < size; i++) data[place * size + i] = 3000 * loud.normal();
  return tensor(data, [batch, 3, imageSize, imageSize]);
}

/** The mean contrastive accuracy, in percent, of an untrained network that stays as it is. */
function accuracy(bnSplits: number, shuffle: boolean, keyPattern = 'shared', replicas = 1): number {
  const config = {
    ...{
      encoder,
      encoderConfig: { imageSize },
      batch: batch / replicas,
      replicas,
      dim: 16,
      mlp: false,
      queueSize,
      momentum: 0.5,
    },
    ...{ temperature: 0.25, bnSplits, shuffle, symmetric: false, optimizer: sgd() },
  };
  let state: Record<string, Feed> = mocoState(config, 1);
  const step = mocoStep(config, mocoState(config, 1));
  const { graph, state: slots } = step;
  let total = 0;
  for (let count = 0; count < filling + measured; count++) {
    const perm = tensor(rng(5, 'perm', count).permutation(batch), [batch], 'int32');
    const feeds = {
      xq: view(count, 'q', 'shared', 0),
      // Another image than the queries', of the same group, and of the same replica.
      xk: view(count, 'k', keyPattern, replicas === 1 ? 8 : 1),
      lr: scalar(0),
      ...(shuffle && { perm }),
    };
    const each = Array.from({ length: replicas }, (_, rank) => ({
      ...state,
      ...microBatches(step, feeds, { rank, size: replicas })[0],
    }));
    const outputs = interpretReplicas(graph, each)[0]!;
    state = Object.fromEntries(slots.map(({ input, output }) => [input, outputs[output!]!]));
    if (count >= filling) total += outputs.acc1!.data[0]!;
  }
  return total / measured;
}

const chance = 100 / (1 + queueSize);

it('with plain normalisation queries find their keys, though the images say nothing', () => {
  expect(accuracy(1, false)).toBeGreaterThan(50);
});

it('groups and a shuffle bring that down to chance, but for pairs that meet by chance in the two loud groups', () => {
  const groups = 8;
  // A loud group has a query's image, and the shuffle puts its key into the other's with probability 1/8.
  const exposed = (measured * batch) / groups;
  const met = exposed / groups + 5 * Math.sqrt(exposed * (1 / groups) * (1 - 1 / groups));
  expect(accuracy(groups, true)).toBeLessThan(chance + (100 * met) / (measured * batch));
});

it('across replicas it is the same: with plain normalisation queries find their keys, shuffled they do not', () => {
  const replicas = 8;
  // Of all queries those on the replica that has the loud images, mostly.
  expect(accuracy(1, false, 'shared', replicas)).toBeGreaterThan(50 / replicas);
  const exposed = (measured * batch) / replicas;
  const met = exposed / replicas + 5 * Math.sqrt(exposed * (1 / replicas) * (1 - 1 / replicas));
  expect(accuracy(1, true, 'shared', replicas)).toBeLessThan(chance + (100 * met) / (measured * batch));
});

it('only shared statistics tell: with another loud image among the keys plain normalisation finds nothing', () => {
  // Keys of one batch are alike, so what wins is a batch: one of those in the queue, or the queries' own.
  expect(accuracy(1, false, 'other')).toBeLessThan(100 / (1 + filling));
});
