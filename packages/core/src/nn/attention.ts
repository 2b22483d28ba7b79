/** Multi-head self-attention (Vaswani et al., arXiv 1706.03762, section 3.2) by timm's names. */
import type { Params, TracedParams } from '../encoder.ts';
import { ShapeError } from '../errors.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { reshape, slice, transpose } from '../graph/ops/shape.ts';
import { softmaxMatmul } from '../graph/ops/softmax-matmul.ts';
import { split } from '../graph/ops/split.ts';
import type { Traced } from '../graph/trace.ts';
import { filled } from '../tensor/tensor.ts';
import { initLinearXavier, type ParameterRandom, xavierUniform } from './init.ts';
import { linear, parameter } from './layers.ts';

/**
 * softmax(q k^T / sqrt(d)) v for each head, d = D / heads, the heads side by side through a last linear layer.
 * Parameters: `name.qkv.weight` [3 D, D] (queries, keys, values, each by heads), `name.qkv.bias`, `name.proj.weight`
 * [D, D], `name.proj.bias`.
 * @param x [N, T, D]
 * @returns [N, T, D]
 * @throws ShapeError when the heads don't divide D
 */
export function attention(params: TracedParams, name: string, x: Traced, heads: number): Traced {
  const { batch, tokens, dim, width } = sizes(name, x, heads);
  const all = reshape(linear(params, `${name}.qkv`, x), [batch, tokens, 3, heads, width]);
  const parts = split(transpose(all, [0, 2, 3, 1, 4]), 1, [1, 1, 1]);
  const [q, k, v] = parts.map((part) => reshape(part, [batch, heads, tokens, width]));
  const mixed = transpose(mix(q!, k!, v!), [0, 2, 1, 3]);
  return linear(params, `${name}.proj`, reshape(mixed, [batch, tokens, dim]));
}

/**
 * The first token of {@link attention}'s result, [N, 1, D]: for a last block of which nothing else is used. One query
 * for each image leaves out two thirds of the work.
 */
export function firstAttention(params: TracedParams, name: string, x: Traced, heads: number): Traced {
  const { batch, tokens, dim, width } = sizes(name, x, heads);
  const weight = parameter(params, `${name}.qkv.weight`);
  const bias = parameter(params, `${name}.qkv.bias`);
  const rows = (from: number, count: number) => ({
    'rows.weight': slice(weight, [from, 0], [count, dim]),
    'rows.bias': slice(bias, [from], [count]),
  });
  const first = slice(x, [0, 0, 0], [batch, 1, dim]);
  const q = reshape(linear(rows(0, dim), 'rows', first), [batch, heads, 1, width]);
  const both = reshape(linear(rows(dim, 2 * dim), 'rows', x), [batch, tokens, 2, heads, width]);
  const parts = split(transpose(both, [0, 2, 3, 1, 4]), 1, [1, 1]);
  const [k, v] = parts.map((part) => reshape(part, [batch, heads, tokens, width]));
  return linear(params, `${name}.proj`, reshape(mix(q, k!, v!), [batch, 1, dim]));
}

function sizes(name: string, x: Traced, heads: number) {
  const [batch, tokens, dim] = x.shape as [number, number, number];
  const width = dim / heads;
  if (x.shape.length !== 3 || !Number.isInteger(width))
    throw new ShapeError(`${name}: [${x.shape.join(', ')}] can't be attended by ${heads} heads`);
  return { batch, tokens, dim, width };
}

/** Values mixed by softmax(q k^T / sqrt(d)), all [N, heads, ., d]. The queries are scaled: they are fewer than the scores. */
function mix(q: Traced, k: Traced, v: Traced): Traced {
  const scores = matmul(mul(q, 1 / Math.sqrt(q.shape[3]!)), k, { transposeB: true });
  return softmaxMatmul(scores, v)[0];
}

/** The parameters of {@link attention}: Xavier uniform, qkv as three matrices of [D, D]; biases 0. */
export function initAttention(params: Params, name: string, dim: number, random: ParameterRandom): void {
  const weight = `${name}.qkv.weight`;
  params[weight] = xavierUniform([3 * dim, dim], dim, dim, random(weight));
  params[`${name}.qkv.bias`] = filled([3 * dim], 0);
  initLinearXavier(params, `${name}.proj`, dim, dim, random);
}
