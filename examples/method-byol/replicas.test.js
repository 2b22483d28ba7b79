/** Methods that know nothing of replicas train on several: each traces what one replica does with its images. */
import { createOptimizer, createTrainer, defineEncoder, mean, nn, relu, rng } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { createReference } from '../../packages/backend-testing/src/reference-backend.ts';
import { simsiam } from '../method-simsiam/index.ts';
import { byol } from './index.ts';

const [images, size, dim] = [8, 4, 4];

const encoder = defineEncoder({
  name: 'one-convolution',
  inputShape: () => [3, size, size],
  featureDim: () => 6,
  init: (_, random) => {
    const params = {};
    nn.initConv(params, 'conv1', [6, 3, 3, 3], random);
    nn.initBatchNorm(params, 'bn1', 6);
    return params;
  },
  forward: (context, params, x) =>
    mean(relu(nn.batchNorm(context, params, 'bn1', nn.conv(params, 'conv1', x, { padding: 1 }))), [2, 3]),
});

/** Some steps in float64: their losses, and the state behind them. */
async function train(method, replicas) {
  const config = {
    ...{ seed: 1, batchSize: images, imageSize: size, mocoDim: dim, mocoM: 0.75, mocoMCos: true, lr: 0.5 },
    ...{ byolHidden: 8, mocoMlpDim: 8, bottleneck: 4, fixPredictorLr: true },
  };
  const run = method.create({
    ...{ encoder, encoderConfig: { imageSize: size }, config, images },
    ...{ batch: images / replicas, replicas, bnSplits: 1, bnSync: true },
    optimizer: createOptimizer({ name: 'sgd', momentum: 0.5, weightDecay: 0.125 }),
  });
  const state = run.state();
  const trainer = await createTrainer(createReference(replicas), run.step(state), state);
  const losses = [];
  for (let step = 0; step < 3; step++) {
    const views = ['one', 'other'].map((name) =>
      Float32Array.from({ length: images * 3 * size ** 2 }, rng(0, name, step).normal),
    );
    const feeds = run.feeds(
      { views, indices: new Int32Array(images) },
      { epoch: 0, step, globalStep: step, progress: step / 3 },
    );
    const { loss } = await trainer.step(feeds, 0.5, step);
    losses.push(loss.data[0]);
  }
  return { losses, state: await trainer.state() };
}

it.each([byol, simsiam])('$name of 2 replicas, normalised together, is that of one', async (method) => {
  const [two, one] = [await train(method, 2), await train(method, 1)];
  two.losses.forEach((loss, step) => {
    expect(loss).toBeCloseTo(one.losses[step], 6);
  });
  expect(new Set(two.losses).size).toBe(3);
  expect(Object.keys(two.state)).toEqual(Object.keys(one.state));
  for (const [name, { data }] of Object.entries(one.state))
    data.forEach((value, i) => {
      expect(two.state[name].data[i], `${name} ${i}`).toBeCloseTo(value, 6);
    });
});
