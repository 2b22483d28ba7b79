/** MoCo against PyTorch: the fixtures of parity/, whose README gives the rules for inputs, samples and projections. */
import { readFileSync } from 'node:fs';
import {
  type Backend,
  createTrainer,
  decodeSafetensors,
  initEncoder,
  initQueue,
  isBuffer,
  type MocoConfig,
  mocoState,
  mocoStep,
  rng,
  sgd,
  type Tensor,
} from '@moco-ts/core';
import { resnet18 } from '@moco-ts/encoders';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { difference, lowerings, norm, relative, sample, views } from './parity-testing.ts';
import { ortPlugin } from './plugin.ts';

interface Fixture {
  readonly spec: {
    readonly dim: number;
    readonly mlp: boolean;
    readonly K: number;
    readonly m: number;
    readonly t: number;
    readonly lr: number;
    readonly momentum: number;
    readonly wd: number;
    readonly bn: 'split' | 'plain';
    readonly bnSplits: number;
    readonly symmetric: boolean;
    readonly steps: number;
  };
  readonly seed: number;
  readonly viewSeed: number;
  readonly batch: number;
  readonly size: number;
  readonly perm: readonly number[] | null;
  readonly inputs: Readonly<Record<string, readonly [number, number, number]>>;
  readonly drift: {
    readonly loss: readonly number[];
    readonly queue: number;
    readonly q: { readonly bufferMax: number; readonly changeMax: number };
    readonly k: { readonly bufferMax: number; readonly changeMax: number };
  };
  readonly gradients: Readonly<
    Record<
      string,
      { norm: number; f32: number; f32Sample: number; f32Projections: number; f32ChannelsLast: number }
    >
  >;
}

const folder = new URL('../../../parity/fixtures/', import.meta.url);

function load(name: string) {
  const fixture = JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Fixture;
  const bytes = readFileSync(new URL(`${name}.safetensors`, folder));
  return { fixture, expected: decodeSafetensors(bytes, name).tensors };
}

const gradientSample = 2048;
const stateSample = 256;
const projections = 8;

/** Sums under seeded sign vectors. */
function project(seed: number, name: string, data: ArrayLike<number>): number[] {
  const random = rng(seed, `signs/${name}`);
  const sums = new Array<number>(projections).fill(0);
  for (let e = 0; e < data.length; e++) {
    const word = random.uint32();
    for (let j = 0; j < projections; j++) sums[j]! += (word >>> j) & 1 ? -data[e]! : data[e]!;
  }
  return sums;
}

function configOf({ spec, batch, size }: Fixture, exposeGradients: boolean): MocoConfig {
  return {
    encoder: resnet18,
    encoderConfig: { imageSize: size, stem: 'cifar' },
    batch,
    dim: spec.dim,
    mlp: spec.mlp,
    queueSize: spec.K,
    momentum: spec.m,
    temperature: spec.t,
    bnSplits: spec.bn === 'plain' ? 1 : spec.bnSplits,
    shuffle: spec.bn === 'split',
    symmetric: spec.symmetric,
    optimizer: sgd({ momentum: spec.momentum, weightDecay: spec.wd }),
    exposeGradients,
  };
}

/** Runs all steps; gives the losses, the first step's gradients and the last state. */
async function run(backend: Backend, fixture: Fixture) {
  const { spec, seed, viewSeed, batch, size } = fixture;
  const losses: number[] = [];
  let gradients: Record<string, Tensor> = {};
  let state: Record<string, Tensor> = mocoState(configOf(fixture, false), seed);
  // Two programs: only the first step's gradients are wanted.
  for (const [from, to] of [
    [0, 1],
    [1, spec.steps],
  ] as const) {
    const config = configOf(fixture, from === 0);
    const trainer = await createTrainer(backend, mocoStep(config, state), state);
    for (let i = from; i < to; i++) {
      const [xq, xk] = views(viewSeed, i, batch, size);
      const perm = { shape: [batch], dtype: 'int32', data: rng(seed, 'perm', i).permutation(batch) } as const;
      const feeds = spec.bn === 'split' ? { xq, xk, perm } : { xq, xk };
      const { loss, ...rest } = await trainer.step(feeds, spec.lr, i);
      losses.push(loss!.data[0]!);
      if (i === 0) gradients = rest;
    }
    state = await trainer.state();
    await trainer.dispose();
  }
  return { losses, gradients, state };
}

describe.each(['v1', 'v2', 'v2-plain', 'v2-symmetric', 'v2-symmetric-20'])('%s against PyTorch', (name) => {
  const { fixture, expected } = load(name);

  it('starts from the same weights, queue and images', () => {
    const { seed, viewSeed, batch, size, spec } = fixture;
    const config = configOf(fixture, false);
    const [xq, xk] = views(viewSeed, 0, batch, size);
    const ours: Record<string, Tensor> = { queue: initQueue(spec.dim, spec.K, seed), 'xq.0': xq, 'xk.0': xk };
    for (const [key, value] of Object.entries(initEncoder(config, seed))) ours[`q.${key}`] = value;
    for (const [key, facts] of Object.entries(fixture.inputs)) {
      const { data } = ours[key]!;
      const actual = [norm(data), data[0]!, data[data.length - 1]!];
      actual.forEach((value, i) => {
        expect(Math.abs(value - facts[i]!), key).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(facts[i]!)));
      });
    }
    if (fixture.perm) expect([...rng(seed, 'perm', 0).permutation(batch)]).toEqual(fixture.perm);
  });

  describe.each(lowerings)('$lowering', ({ options }) => {
    let backend: Backend;
    let result: Awaited<ReturnType<typeof run>>;
    beforeAll(async () => {
      backend = await ortPlugin.create(options);
      result = await run(backend, fixture);
    });
    afterAll(() => backend.dispose());

    it('has the losses of every step', () => {
      const reference = expected['f64/loss']!.data;
      expect(result.losses).toHaveLength(fixture.spec.steps);
      result.losses.forEach((loss, i) => {
        const error = Math.abs(loss - reference[i]!) / reference[i]!;
        expect(error, `step ${i}`).toBeLessThan(i === 0 ? 1e-5 : 1e-3);
      });
    });

    it('has the gradients of the first step, within twice the error of PyTorch float32', () => {
      const misses: string[] = [];
      for (const [parameter, facts] of Object.entries(fixture.gradients)) {
        const { data } = result.gradients[`grad.${parameter}`]!;
        const reference = expected[`f64/grad.${parameter}`]!.data;
        const ours = sample(data, gradientSample);
        const error = relative(ours, reference);
        const distances = difference(
          project(fixture.seed, parameter, data),
          expected[`f64/projections.${parameter}`]!.data,
        );
        const projected = norm(distances) / Math.sqrt(projections) / facts.norm;
        const cosine =
          ours.reduce((dot, value, i) => dot + value * reference[i]!, 0) / (norm(ours) * norm(reference));
        expect(cosine, parameter).toBeGreaterThan(0.9999);
        const bound = 2 * facts.f32;
        if (error > bound || projected > bound)
          misses.push(
            `${parameter}: ${error.toExponential(2)} ${projected.toExponential(2)} > ${bound.toExponential(2)}`,
          );
      }
      expect(misses).toEqual([]);
    });

    it('has the queue, the pointer and the running statistics at the end', () => {
      const { state } = result;
      const { spec, drift, batch } = fixture;
      expect(state.queue_ptr!.data[0]).toBe(((spec.symmetric ? 2 : 1) * batch * spec.steps) % spec.K);
      expect(state.queue_ptr!.data[0]).toBe(expected['f64/queue_ptr']!.data[0]);
      expect(relative(state.queue!.data, expected['f64/queue']!.data)).toBeLessThan(
        Math.max(1e-5, 3 * drift.queue),
      );
      const start = initEncoder(configOf(fixture, false), fixture.seed);
      for (const [key, { data }] of Object.entries(state)) {
        if (!/^[qk]\./.test(key)) continue;
        const reference = expected[`f64/${key}`]!.data;
        const side = drift[key[0] as 'q' | 'k'];
        if (isBuffer(key)) {
          expect(relative(data, reference), key).toBeLessThan(Math.max(1e-4, 3 * side.bufferMax));
          continue;
        }
        // What training changed, not the value: most of a weight is still its start after so few steps.
        const before = sample(start[key.slice(2)]!.data, stateSample);
        const change = difference(sample(data, stateSample), before);
        const error = relative(change, difference(reference, before));
        expect(error, key).toBeLessThan(Math.max(1e-3, 3 * side.changeMax));
      }
    });
  });
});
