/** Twenty steps of MoCo v3, SimCLR and InstDisc against PyTorch: parity/steps.py made the fixture. */
import { readFileSync } from 'node:fs';
import {
  type Backend,
  type ClassifierConfig,
  classifierState,
  classifierStep,
  createOptimizer,
  createTrainer,
  drawNegatives,
  type InstDiscConfig,
  initEncoder,
  initEncoderV3,
  instDiscState,
  instDiscStep,
  isBuffer,
  type MocoV3Config,
  mocoV3State,
  mocoV3Step,
  type OptimizerConfig,
  type Params,
  type PassConfig,
  risingMomentum,
  rng,
  type SimclrConfig,
  scalar,
  simclrState,
  simclrStep,
  sizeOf,
  type Tensor,
  type TrainingStep,
} from '@moco-ts/core';
import { defineResnet, defineVit } from '@moco-ts/encoders';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { difference, lowerings, relative, sample, views } from './parity-testing.ts';
import { ortPlugin } from './plugin.ts';

interface Fact {
  /** Of the whole tensor; of a parameter: of what training changed. */
  readonly norm: number;
  /** PyTorch's float32 from its float64, relative to that norm. */
  readonly f32: number;
  readonly sample: readonly number[];
}
interface Net {
  readonly encoder: 'vit' | 'resnet-tiny';
  readonly size: number;
  readonly width: number;
  readonly patchSize: number;
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
}
interface Case {
  readonly spec: {
    readonly method: 'moco-v3' | 'simclr' | 'instdisc' | 'classifier';
    readonly dim: number;
    readonly net: Net;
    readonly momentum: number;
    readonly frozen?: readonly string[];
    readonly optimizer: OptimizerConfig;
    readonly lr: number;
  };
  readonly viewSeed: number;
  readonly losses: readonly number[];
  readonly drift: readonly number[];
  /** Parameters whose gradient is 0 but for rounding. */
  readonly noise: readonly string[];
  readonly gradients: Readonly<Record<string, Fact>>;
  readonly state: Readonly<Record<string, Fact>>;
}
interface Fixture {
  readonly seed: number;
  readonly steps: number;
  readonly batch: number;
  readonly sample: number;
  readonly cases: Readonly<Record<string, Case>>;
}

const file = new URL('../../../parity/fixtures/steps.json', import.meta.url);
const { seed, steps, batch, sample: limit, cases } = JSON.parse(readFileSync(file, 'utf8')) as Fixture;

/** What the tests need of a method. */
interface Method {
  readonly state: Record<string, Tensor>;
  step(expose: boolean, state: Record<string, Tensor>): TrainingStep;
  feeds(step: number): Record<string, Tensor>;
}

function methodOf({ spec, viewSeed }: Case): Method {
  const { net } = spec;
  const encoder =
    net.encoder === 'vit'
      ? defineVit({ name: 'vit', ...net, stem: 'patch' })
      : defineResnet({
          name: 'resnet',
          block: 'basic',
          depths: [1, 1, 1, 1],
          width: net.width,
          stem: 'small',
        });
  const patch = net.encoder === 'vit' ? { patchSize: net.patchSize } : {};
  const shared: PassConfig = {
    encoder,
    encoderConfig: { imageSize: net.size, ...patch },
    batch,
    bnSplits: 1,
  };
  const settings = { ...spec, ...shared, optimizer: createOptimizer(spec.optimizer) };
  const images = (step: number) => {
    const [xq, xk] = views(viewSeed, step, batch, net.size);
    return { xq, xk };
  };
  if (spec.method === 'moco-v3') {
    const config = settings as unknown as MocoV3Config;
    const momentum = (i: number) => scalar(risingMomentum(spec.momentum, i / steps));
    return {
      state: mocoV3State(config, seed, seeded(initEncoderV3(config, seed))),
      step: (exposeGradients, state) => mocoV3Step({ ...config, exposeGradients }, state),
      feeds: (i) => ({ ...images(i), momentum: momentum(i) }),
    };
  }
  if (spec.method === 'simclr') {
    const config = settings as unknown as SimclrConfig;
    return {
      state: simclrState(config, seed, seeded(initEncoder(config, seed))),
      step: (exposeGradients, state) => simclrStep({ ...config, exposeGradients }, state),
      feeds: images,
    };
  }
  if (spec.method === 'classifier') {
    const config = { ...settings, classes: spec.dim } as unknown as ClassifierConfig;
    const backbone = encoder.init(shared.encoderConfig, (name) => rng(seed, `init/${name}`));
    return {
      state: classifierState(config, seed, withEstimates(backbone)),
      step: (exposeGradients, state) => classifierStep({ ...config, exposeGradients }, state),
      feeds: (i) => {
        const stream = rng(seed, 'label', i);
        const data = Int32Array.from({ length: batch }, () => stream.integer(spec.dim));
        return { x: images(i).xq, label: { shape: [batch], dtype: 'int32', data } };
      },
    };
  }
  const config = settings as unknown as InstDiscConfig;
  const index = (i: number): Tensor => {
    const data = rng(seed, 'index', i).permutation(config.slots).slice(0, batch);
    return { shape: [batch], dtype: 'int32', data };
  };
  return {
    state: instDiscState(config, seed, seeded(initEncoder(config, seed))),
    step: (exposeGradients, state) => instDiscStep({ ...config, exposeGradients }, state),
    feeds: (i) => ({
      xq: images(i).xq,
      index: index(i),
      negatives: drawNegatives(config, seed, i),
    }),
  };
}

/** steps.py's weights for a ViT, where nothing is at 0 or 1; all others are core's own. */
function seeded(params: Params): Params {
  const own = Object.entries(params).map(([name, { shape }]): [string, Tensor] => {
    if (!/^(cls_token|patch_embed|blocks\.|norm\.)/.test(name)) return [name, params[name]!];
    const stream = rng(seed, `init/${name}`);
    const bound = name === 'cls_token' ? 1 : Math.sqrt(3 / sizeOf(shape.slice(1)));
    const [low, high] =
      shape.length > 1 ? [-bound, bound] : name.endsWith('weight') ? [0.5, 1.5] : [-0.3, 0.3];
    const data = Float32Array.from({ length: sizeOf(shape) }, () => stream.uniform(low, high));
    return [name, { shape, dtype: 'float32', data }];
  });
  return Object.fromEntries(own);
}

/** Seeded running estimates, as of an encoder that was trained. */
function withEstimates(params: Params): Params {
  const all = Object.entries(params).map(([name, value]): [string, Tensor] => {
    if (!isBuffer(name)) return [name, value];
    const [low, high] = name.endsWith('mean') ? [-0.3, 0.3] : [0.5, 1.5];
    const stream = rng(seed, `init/${name}`);
    return [name, { ...value, data: Float32Array.from(value.data, () => stream.uniform(low, high)) }];
  });
  return Object.fromEntries(all);
}

async function run(backend: Backend, method: Method, lr: number) {
  const losses: number[] = [];
  let gradients: Record<string, Tensor> = {};
  let { state } = method;
  // Two programs: only the first step's gradients are wanted.
  for (const [from, to] of [
    [0, 1],
    [1, steps],
  ] as const) {
    const trainer = await createTrainer(backend, method.step(from === 0, state), state);
    for (let i = from; i < to; i++) {
      const { loss, ...rest } = await trainer.step(method.feeds(i), lr, i);
      losses.push(loss!.data[0]!);
      if (i === 0) gradients = rest;
    }
    state = await trainer.state();
    await trainer.dispose();
  }
  return { losses, gradients, state };
}

const kind = (name: string) => (isBuffer(name) ? 'buffer' : /^(opt\.[^.]+|[^.]+)/.exec(name)![0]);

describe.each(Object.keys(cases))('%s against PyTorch', (name) => {
  const given = cases[name]!;
  describe.each(lowerings)('$lowering', ({ options }) => {
    const method = methodOf(given);
    let backend: Backend;
    let result: Awaited<ReturnType<typeof run>>;
    beforeAll(async () => {
      backend = await ortPlugin.create(options);
      result = await run(backend, method, given.spec.lr);
    });
    afterAll(() => backend.dispose());

    it('has the losses of every step', () => {
      expect(result.losses).toHaveLength(steps);
      result.losses.forEach((loss, i) => {
        const error = Math.abs(loss - given.losses[i]!) / given.losses[i]!;
        expect(error, `step ${i}`).toBeLessThan(i === 0 ? 1e-5 : 1e-3);
      });
    });

    it('has the gradients of the first step, as exact as PyTorch float32', () => {
      const named = Object.keys(result.gradients).filter((key) => key.startsWith('grad.'));
      const expected = [...Object.keys(given.gradients), ...given.noise].map((key) => `grad.${key}`);
      expect(named.sort()).toEqual(expected.sort());
      // Three times PyTorch's worst: the error of a sample scatters about that of the whole.
      const bound = 3 * Math.max(...Object.values(given.gradients).map(({ f32 }) => f32));
      for (const [parameter, fact] of Object.entries(given.gradients)) {
        const ours = sample(result.gradients[`grad.${parameter}`]!.data, limit);
        expect(relative(ours, fact.sample), parameter).toBeLessThan(bound);
      }
    });

    it('has the parameters, the optimizer and all other state after the last step', () => {
      const drift = new Map<string, number>();
      for (const [key, { f32 }] of Object.entries(given.state))
        drift.set(kind(key), Math.max(f32, drift.get(kind(key)) ?? 0));
      const frozen = new Set(
        ['q', 'k'].flatMap((side) => given.spec.frozen?.map((name) => `${side}.${name}`)),
      );
      for (const [key, fact] of Object.entries(given.state)) {
        if (frozen.has(key)) continue;
        const ours = sample(result.state[key]!.data, limit);
        const first = method.state[key];
        const parameter = /^(q|k|predictor)\./.test(key) && !isBuffer(key);
        // Of parameters what training changed, not the value: most of a weight is still its start after so few steps.
        const start = parameter ? sample(first!.data, limit) : new Array<number>(ours.length).fill(0);
        const error = relative(difference(ours, start), difference(fact.sample, start));
        if (fact.norm === 0) {
          // Nothing trained it: a frozen encoder, to the bit.
          expect(result.state[key]!.data, key).toEqual(first!.data);
          expect(relative(ours, fact.sample), key).toBeLessThan(1e-6);
          continue;
        }
        expect(error, key).toBeLessThan(Math.max(1e-3, 3 * drift.get(kind(key))!));
      }
    });

    it('leaves what is frozen as it was', () => {
      for (const side of ['q', 'k'])
        for (const frozen of given.spec.frozen ?? []) {
          const key = `${side}.${frozen}`;
          expect(result.state[key]!.data, key).toEqual(method.state[key]!.data);
        }
    });
  });
});
