/** MoCo v3's own pair, a ViT and heads normalised over all replicas: 4 replicas are one with the large batch. */
import {
  type Feed,
  interpretReplicas,
  type MocoV3Config,
  microBatches,
  mocoV3Heads,
  mocoV3State,
  mocoV3Step,
  rng,
  scalar,
  sgd,
  tensor,
} from '@moco-ts/core';
import { expect, it } from 'vitest';
import { defineVit } from './index.ts';

const [images, imageSize] = [8, 8];
const view = (name: string, update: number) => {
  const random = rng(0, name, update);
  const shape = [images, 3, imageSize, imageSize];
  return tensor(Float32Array.from({ length: images * 3 * imageSize ** 2 }, random.normal), shape);
};

/** Two steps by SGD (AdamW divides by gradients that are but rounding) in float64: the losses, and the state behind them. */
function train(replicas: number): Record<string, ArrayLike<number>> {
  const config: MocoV3Config = {
    ...{
      encoder: defineVit({ name: 'small', dim: 8, depth: 2, heads: 2 }),
      encoderConfig: { imageSize, patchSize: 4 },
    },
    ...{
      batch: images / replicas,
      replicas,
      bnSplits: 1,
      bnSync: true,
      ...mocoV3Heads.vit,
      hidden: 8,
      dim: 4,
    },
    ...{ temperature: 0.2, optimizer: sgd({ momentum: 0.5 }) },
  };
  let state: Record<string, Feed> = mocoV3State(config, 1);
  const step = mocoV3Step(config, mocoV3State(config, 1));
  const losses = [0, 1].map((update) => {
    const feeds = { xq: view('xq', update), xk: view('xk', update), momentum: scalar(0.75) };
    const scalars = Object.entries(step.optimizer.scalars(0.05, update));
    const fed = Object.fromEntries(scalars.map(([name, value]) => [name, { shape: [], data: [value] }]));
    const each = Array.from({ length: replicas }, (_, rank) => ({
      ...state,
      ...microBatches(step, feeds, { rank, size: replicas })[0],
      ...fed,
    }));
    const outputs = interpretReplicas(step.graph, each)[0]!;
    state = Object.fromEntries(
      step.state.map(({ input, output }) => [input, output ? outputs[output]! : state[input]!]),
    );
    return outputs.loss!.data[0]!;
  });
  return { losses, ...Object.fromEntries(Object.entries(state).map(([name, { data }]) => [name, data])) };
}

it('a ViT by MoCo v3 learns the same on 4 replicas as on one, up to rounding in float64', () => {
  const [four, one] = [train(4), train(1)];
  expect(new Set(Array.from(one.losses!)).size).toBe(2);
  expect(Object.keys(four)).toEqual(Object.keys(one));
  // The epsilon of a normalisation, 1e-5, is a float32 constant in the gradient of statistics that replicas share: off by 2.5e-13, which
  // small variances of features enlarge.
  for (const [name, values] of Object.entries(one))
    Array.from(values).forEach((value, i) => {
      expect(Math.abs(four[name]![i]! - value), `${name} ${i}`).toBeLessThan(1e-7);
    });
});
