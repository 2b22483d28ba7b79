import type { TensorType } from '@moco-ts/core';
import type { Emitter, Value } from './emitter.ts';
import type { Rules } from './rule.ts';

interface Transposed {
  readonly a?: boolean;
  readonly b?: boolean;
}

/** [..., M, K] [..., K, N], each side's last two axes exchanged where it says so. */
function product(
  emit: Emitter,
  [a, b]: readonly [Value, Value],
  transposed: Transposed,
  type: TensorType,
): Value {
  const rank = a.shape.length;
  const precision = a.dtype === 'float32' ? `, precision = [${emit.precision}, ${emit.precision}]` : '';
  const batch = Array.from({ length: rank - 2 }, (_, i) => i).join(', ');
  const batching = rank > 2 ? `batching_dims = [${batch}] x [${batch}], ` : '';
  const contracted = `[${transposed.a ? rank - 2 : rank - 1}] x [${transposed.b ? rank - 1 : rank - 2}]`;
  return emit.op(
    `stablehlo.dot_general ${a.name}, ${b.name}, ${batching}contracting_dims = ${contracted}${precision}`,
    [a, b],
    type,
  );
}

/** exp(x - max x) / sum, along the last axis. */
function softmax(emit: Emitter, x: Value): Value {
  const last = x.shape.length - 1;
  const column = [...x.shape.slice(0, last), 1];
  const largest = emit.reshape(emit.reduce('maximum', x, [last]), column);
  const powers = emit.same('exponential', [emit.binary('subtract', x, largest, x.shape)]);
  const total = emit.reshape(emit.reduce('add', powers, [last]), column);
  return emit.binary('divide', powers, total, x.shape);
}

export const matmul: Rules = {
  matmul: (emit, [a, b], { transposeA, transposeB }, [type]) => [
    product(emit, [a!, b!], { a: transposeA === true, b: transposeB === true }, type!),
  ],
  softmax: (emit, [x]) => [softmax(emit, x!)],
  softmaxMatmul: (emit, [scores, v], _, [type]) => {
    const weights = emit.convert(softmax(emit, emit.convert(scores!, 'float32')), scores!.dtype);
    return [product(emit, [weights, v!], {}, type!), weights];
  },
};
