/** What the tests of twenty steps share: the methods of parity/steps.py's fixture, from its seeds. */
import { readFileSync } from 'node:fs';
import {
  type Backend,
  type ClassifierConfig,
  classifierState,
  classifierStep,
  createOptimizer,
  createTrainer,
  type DistillConfig,
  distillState,
  distillStep,
  drawNegatives,
  type Feed,
  type InstDiscConfig,
  initEncoder,
  initEncoderV3,
  instDiscState,
  instDiscStep,
  isBuffer,
  lossScaleOf,
  type MocoConfig,
  type MocoV3Config,
  mocoState,
  mocoStep,
  mocoV3State,
  mocoV3Step,
  type OptimizerConfig,
  type Params,
  type PassConfig,
  type Precision,
  risingMomentum,
  rng,
  type SimclrConfig,
  scalar,
  simclrState,
  simclrStep,
  sizeOf,
  type Tensor,
  type TrainerOptions,
  type TrainingStep,
} from '@moco-ts/core';
import { defineResnet, defineVit } from '@moco-ts/encoders';
import { difference, relative, sample, views } from './parity-testing.ts';

export interface Fact {
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
export interface StepsCase {
  readonly spec: {
    readonly method: 'moco-v1' | 'moco-v2' | 'moco-v3' | 'simclr' | 'instdisc' | 'distill' | 'classifier';
    readonly dim: number;
    readonly net: Net;
    /** R, of parity/ddp.py's cases. */
    readonly replicas?: number;
    readonly bn?: 'shuffle' | 'sync' | 'plain';
    readonly momentum: number;
    readonly frozen?: readonly string[];
    readonly optimizer: OptimizerConfig;
    readonly lr: number;
  };
  readonly viewSeed: number;
  /** Images of a step, of all replicas; default that of the whole fixture. */
  readonly batch?: number;
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
  readonly cases: Readonly<Record<string, StepsCase>>;
}

const file = new URL('../../../parity/fixtures/steps.json', import.meta.url);
const fixture = JSON.parse(readFileSync(file, 'utf8')) as Fixture;
const { seed } = fixture;
export const { steps, sample: limit, cases } = fixture;

/** Of PyTorch under autocast(bfloat16). */
interface Mixed {
  /** Of its losses from those of its float32, relative. */
  readonly drift: readonly number[];
  /** By parameter: of the gradient of step 0 from that in float64, relative. */
  readonly gradients: Readonly<Record<string, number>>;
}
const mixedFile = new URL('../../../parity/fixtures/precision.json', import.meta.url);
/** Cases of the same names: parity/precision.py. */
export const mixed = (
  JSON.parse(readFileSync(mixedFile, 'utf8')) as { cases: Readonly<Record<string, Mixed>> }
).cases;

/** What the tests need of a method. */
export interface Method {
  readonly state: Record<string, Tensor>;
  step(expose: boolean, state: Record<string, Tensor>): TrainingStep;
  feeds(step: number): Record<string, Tensor>;
}

export function methodOf(
  { spec, viewSeed, batch = fixture.batch }: StepsCase,
  precision: Precision = 'fp32',
): Method {
  const { net, replicas = 1, bn } = spec;
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
    batch: batch / replicas,
    replicas,
    bnSplits: 1,
    bnSync: bn === 'sync',
  };
  const optimizer = { ...createOptimizer(spec.optimizer), lossScale: lossScaleOf(precision) };
  const settings = { ...spec, ...shared, optimizer };
  const images = (step: number) => {
    const [xq, xk] = views(viewSeed, step, batch, net.size);
    return { xq, xk };
  };
  if (spec.method === 'moco-v1' || spec.method === 'moco-v2') {
    const shuffle = bn === 'shuffle';
    const config = { ...settings, shuffle } as unknown as MocoConfig;
    const perm = (step: number): Tensor => {
      return { shape: [batch], dtype: 'int32', data: rng(seed, 'perm', step).permutation(batch) };
    };
    return {
      state: mocoState(config, seed, initEncoder(config, seed)),
      step: (exposeGradients, state) => mocoStep({ ...config, exposeGradients }, state),
      feeds: (i) => ({ ...images(i), ...(shuffle && { perm: perm(i) }) }),
    };
  }
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
  if (spec.method === 'distill') {
    const config = settings as unknown as DistillConfig;
    const taught = (i: number): Tensor => {
      const drawn = rng(seed, 'teacher', i);
      const data = Float32Array.from({ length: batch * spec.dim }, () => 1 + 0.2 * drawn.normal());
      return { shape: [batch, spec.dim], dtype: 'float32', data };
    };
    return {
      state: distillState(config, seed, seeded(initEncoder(config, seed))),
      step: (exposeGradients, state) => distillStep({ ...config, exposeGradients }, state),
      feeds: (i) => ({ xq: images(i).xq, teacher: taught(i) }),
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

const isTrained = (name: string) => /^(q|k|predictor)\./.test(name) && !isBuffer(name);

/**
 * How far a value after training is from a fact. Of parameters what training changed, not the value: most of a weight is still its
 * start after so few steps.
 */
export function stateError(
  name: string,
  after: Feed,
  start: Feed,
  fact: Fact,
  count: number = limit,
): number {
  const ours = sample(after.data, count);
  const from = isTrained(name) ? sample(start.data, count) : new Array<number>(ours.length).fill(0);
  return relative(difference(ours, from), difference(fact.sample, from));
}

const kind = (name: string) => (isBuffer(name) ? 'buffer' : /^(opt\.[^.]+|[^.]+)/.exec(name)![0]);

/** The bound of {@link stateError}, at the least `floor`: three times the worst of PyTorch's float32 among state of the same kind. */
export function stateBounds(facts: StepsCase['state'], floor: number): (name: string) => number {
  const drift = new Map<string, number>();
  for (const [name, { f32 }] of Object.entries(facts))
    drift.set(kind(name), Math.max(f32, drift.get(kind(name)) ?? 0));
  return (name) => Math.max(floor, 3 * drift.get(kind(name))!);
}

/** @param options.gradients also gives those of the first step. Default true */
export async function run(backend: Backend, method: Method, lr: number, options: RunOptions = {}) {
  const { steps: count = steps, gradients: exposed = true } = options;
  const losses: number[] = [];
  let gradients: Record<string, Tensor> = {};
  let { state } = method;
  // Two programs: only the first step's gradients are wanted.
  const parts = exposed ? [0, Math.min(1, count), count] : [0, count];
  for (const [part, from] of parts.slice(0, -1).entries()) {
    const to = parts[part + 1]!;
    if (from === to) continue;
    const trainer = await createTrainer(backend, method.step(exposed && from === 0, state), state, options);
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

interface RunOptions extends TrainerOptions {
  readonly steps?: number;
  readonly gradients?: boolean;
}
