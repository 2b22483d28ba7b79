/** The second half of attention: values mixed by the softmax of scores. */
import { ShapeError } from '../../errors.ts';
import { filled, sameShape } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';
import { mul, neg } from './elementwise.ts';
import { floatOf } from './float.ts';
import { matmul } from './matmul.ts';
import { sum } from './reduce.ts';
import { concat } from './shape.ts';

defineOp({
  name: 'softmaxMatmul',
  infer: ([scores, v]) => {
    const [s, values] = [scores!.shape, v!.shape];
    const dtype = floatOf(scores!, v!);
    if (s.length < 2 || values.length !== s.length || !sameShape(s.slice(0, -2), values.slice(0, -2)))
      throw new ShapeError('expected [..., T, S] and [..., S, D]');
    if (s.at(-1) !== values.at(-2))
      throw new ShapeError(`${s.at(-1)} scores in a row for ${values.at(-2)} values`);
    return [{ shape: [...s.slice(0, -1), values.at(-1)!], dtype }, scores!];
  },
  grad: ({ dOutputs, inputs: [, v], outputs: [y, p], needs }) => {
    const dy = dOutputs[0]!;
    if (dOutputs[1]) throw new ShapeError('softmaxMatmul: the weights have no gradient');
    return [
      needs[0] ? scoresGrad(dy, v!, y!, p!) : undefined,
      needs[1] ? matmul(p!, dy, { transposeA: true }) : undefined,
    ];
  },
});

/**
 * p (dp - sum(dp p)) with dp = dy v^T. The sum over scores equals sum(dy y), over the few values of a row (Dao et al., arXiv
 * 2205.14135, appendix B), and is taken off inside the product, by one more column: so one pass over the scores is left.
 */
function scoresGrad(dy: Traced, v: Traced, y: Traced, p: Traced): Traced {
  const ones = v.builder.constant(filled([...v.shape.slice(0, -1), 1], 1));
  const total = neg(sum(mul(dy, y), [-1], true));
  return mul(p, matmul(concat([dy, total], -1), concat([v, ones], -1), { transposeB: true }));
}

/**
 * softmax(scores) v, rows of scores normalised over their last axis.
 * @param scores [..., T, S]
 * @param v [..., S, D]
 * @returns [..., T, D], and the weights softmax(scores), through which no gradient flows
 */
export function softmaxMatmul(scores: Traced, v: Traced): [y: Traced, weights: Traced] {
  return scores.builder.emit('softmaxMatmul', [scores, v]) as [Traced, Traced];
}
