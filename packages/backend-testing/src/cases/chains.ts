/** Ops together, as in a network: where a lowering changes layouts or fuses, it is here that it can go wrong. */
import {
  add,
  batchNorm,
  broadcastTo,
  concat,
  conv2d,
  gather,
  greater,
  infoNce,
  logSumExp,
  matmul,
  maxPool2d,
  mean,
  mul,
  nn,
  pad,
  relu,
  reshape,
  select,
  slice,
  stopGradient,
  sub,
  type Traced,
  type TracedParams,
  tanh,
  transpose,
} from '@moco-ts/core';
import { awayFromZero, type Case, type Draw, makeCase, normal, permutation } from './case.ts';

const slack = 10;

/** The weights of a convolution with its normalisation, as inputs `<name>w`, `<name>g` and `<name>b`. */
function weights(name: string, o: number, c: number, k: number): Record<string, Draw> {
  return {
    [`${name}w`]: normal([o, c, k, k], 0, Math.sqrt(2 / (c * k * k))),
    [`${name}g`]: awayFromZero([o], 0.5, 1.5),
    [`${name}b`]: normal([o], 0, 0.3),
  };
}

function convBn(inputs: TracedParams, name: string, x: Traced, stride = 1, groups = 1): Traced {
  const w = inputs[`${name}w`]!;
  const y = conv2d(x, w, { stride, padding: (w.shape[2]! - 1) / 2, groups });
  return batchNorm(y, inputs[`${name}g`]!, inputs[`${name}b`]!, 1e-5)[0];
}

/** A residual block; a 1x1 convolution on the shortcut where the shape changes. */
function residual(n: number, c: number, o: number, size: number, stride: number): Case {
  const changes = c !== o || stride !== 1;
  const inputs = {
    x: normal([n, c, size, size]),
    ...weights('a', o, c, 3),
    ...weights('b', o, o, 3),
    ...(changes ? weights('s', o, c, 1) : {}),
  };
  return makeCase(
    'chain',
    `residual block ${c} to ${o}, batch ${n}, size ${size}, stride ${stride}`,
    inputs,
    (given) => {
      const inner = convBn(given, 'b', relu(convBn(given, 'a', given.x!, stride)));
      const skip = changes ? convBn(given, 's', given.x!, stride) : given.x!;
      return relu(add(inner, skip));
    },
    { slack },
  );
}

function splitNormalisation(c: number, splits: number): Case {
  const repeat = (vector: Traced) => reshape(broadcastTo(reshape(vector, [1, c]), [splits, c]), [splits * c]);
  return makeCase(
    'chain',
    `normalisation of ${c} channels in ${splits} groups between convolutions`,
    { x: normal([16, c, 4, 4]), ...weights('a', c, c, 3), ...weights('b', c, c, 3) },
    (given) => {
      const y = conv2d(given.x!, given.aw!, { padding: 1 });
      const grouped = reshape(y, [16 / splits, splits * c, 4, 4]);
      const [normal, average] = batchNorm(grouped, repeat(given.ag!), repeat(given.ab!), 1e-5);
      return {
        y: convBn(given, 'b', relu(reshape(normal, [16, c, 4, 4]))),
        mean: mean(reshape(average, [splits, c]), [0]),
      };
    },
    { slack, through: ['y'] },
  );
}

/** One thing done to maps between two convolutions. */
function between(
  name: string,
  c: number,
  body: (x: Traced, inputs: TracedParams) => Traced,
  outputs = c,
  rough = false,
): Case {
  return makeCase(
    'chain',
    `${name} between convolutions, ${c} channels`,
    {
      x: normal([16, c, 4, 4]),
      first: normal([c, c, 3, 3], 0, 0.2),
      second: normal([16, outputs, 1, 1], 0, 0.2),
      order: permutation(16),
      scale: normal([1, c, 1, 1]),
    },
    (given) => {
      const y = body(conv2d(given.x!, given.first!, { padding: 1 }), given);
      return conv2d(y, given.second!);
    },
    { slack, rough },
  );
}

const channels = [16, 20];

export const chainCases: readonly Case[] = [
  residual(16, 16, 16, 4, 1),
  residual(16, 16, 32, 4, 2),
  residual(16, 32, 32, 2, 1),
  residual(16, 16, 32, 5, 2),
  residual(16, 16, 16, 1, 1),
  residual(16, 8, 8, 4, 1),
  residual(16, 24, 20, 4, 2),
  residual(16, 8, 16, 4, 2),
  residual(6, 16, 16, 4, 1),
  makeCase(
    'chain',
    'imagenet stem and head',
    {
      x: normal([16, 3, 12, 12]),
      ...weights('a', 16, 3, 7),
      ...weights('b', 16, 16, 3),
      fc: normal([8, 16], 0, 0.3),
      bias: normal([8]),
    },
    (given) => {
      const stem = maxPool2d(relu(convBn(given, 'a', given.x!, 2)), { kernel: 3, stride: 2, padding: 1 });
      const features = mean(relu(convBn(given, 'b', stem)), [2, 3]);
      return nn.normalize(add(matmul(features, given.fc!, { transposeB: true }), given.bias!));
    },
    { slack },
  ),
  makeCase(
    'chain',
    'bottleneck with groups',
    {
      x: normal([16, 32, 4, 4]),
      ...weights('a', 32, 32, 1),
      ...weights('b', 32, 4, 3),
      ...weights('c', 64, 32, 1),
      ...weights('s', 64, 32, 1),
    },
    (given) => {
      const inner = relu(convBn(given, 'b', relu(convBn(given, 'a', given.x!)), 2, 8));
      return relu(add(convBn(given, 'c', inner), convBn(given, 's', given.x!, 2)));
    },
    { slack },
  ),
  splitNormalisation(16, 2),
  splitNormalisation(16, 8),
  splitNormalisation(5, 4),
  splitNormalisation(8, 2),
  ...channels.flatMap((c) => [
    between('global mean, broadcast back', c, (x) =>
      add(x, broadcastTo(mean(x, [2, 3], true), [16, c, 4, 4])),
    ),
    between('a factor for each channel', c, (x, { scale }) => mul(x, scale!)),
    between('a factor for each image', c, (x) => mul(x, mean(x, [1, 2, 3], true))),
    between('another order of the batch', c, (x, { order }) => gather(x, order!)),
    between('padding', c, (x) => pad(x, [0, 0, 1, 0], [0, 0, 0, 2])),
    between('a smaller window', c, (x) => slice(x, [0, 0, 1, 1], [16, c, 2, 3])),
    between('half of the batch', c, (x) => slice(x, [4, 0, 0, 0], [8, c, 4, 4])),
    between('exchanged height and width', c, (x) => transpose(x, [0, 1, 3, 2])),
    between('exchanged batch and channels', c, (x) => transpose(x, [1, 0, 2, 3]), 16),
    between('a leak chosen by sign', c, (x) => select(greater(x, 0), x, mul(x, 0.1))),
    between('a smooth function', c, (x) => tanh(x)),
    between('itself joined', c, (x) => concat([x, relu(x)], 1), 2 * c),
    between('itself stopped', c, (x) => add(x, stopGradient(x)), c, true),
    between('rows and columns merged', c, (x) => reshape(x, [16, c, 8, 2])),
  ]),
  makeCase(
    'chain',
    'one filter for two inputs, and a value read thrice',
    { x: normal([16, 16, 4, 4]), z: normal([16, 16, 4, 4]), w: normal([16, 16, 3, 3], 0, 0.1) },
    ({ x, z, w }) => {
      const a = conv2d(x!, w!, { padding: 1 });
      const b = conv2d(z!, w!, { padding: 1 });
      return { a, y: add(mul(a, b), a), deep: conv2d(relu(a), w!, { stride: 2, padding: 1 }) };
    },
    { slack },
  ),
  makeCase('chain', 'log-sum-exp of large logits', { x: normal([4, 9], 0, 300) }, ({ x }) => logSumExp(x!), {
    slack,
  }),
  makeCase(
    'chain',
    'unit rows, one of them near 0',
    { x: normal([4, 8]), tiny: normal([1, 8], 0, 1e-4) },
    ({ x, tiny }) => nn.normalize(concat([x!, tiny!], 0)),
    { slack },
  ),
  makeCase(
    'chain',
    'InfoNCE',
    { q: normal([8, 16]), k: normal([8, 16]), queue: normal([16, 24], 0, 0.25) },
    ({ q, k, queue }) => infoNce(nn.normalize(q!), nn.normalize(k!), queue!, 0.07),
    { slack, through: ['loss'] },
  ),
  makeCase(
    'chain',
    'a gradient that meets from two sides',
    { x: normal([5, 16]), w: normal([16, 16], 0, 0.25) },
    ({ x, w }) => {
      const hidden = tanh(matmul(x!, w!));
      return sub(matmul(hidden, w!, { transposeB: true }), mul(hidden, x!));
    },
    { slack },
  ),
];
