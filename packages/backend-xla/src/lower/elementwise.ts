import type { DType, Tensor, TensorType } from '@moco-ts/core';
import { type Emitter, typeText, type Value } from './emitter.ts';
import type { Rule, Rules } from './rule.ts';

const unary =
  (name: string): Rule =>
  (emit, [x]) => [emit.same(name, [x!])];

const binary =
  (name: string): Rule =>
  (emit, [a, b], _, [type]) => [emit.binary(name, a!, b!, type!.shape)];

const comparison =
  (direction: string): Rule =>
  (emit, [a, b], _, [type]) => [emit.compare(direction, a!, b!, type!.shape)];

/** A constant's elements: one number where all are equal, else their bytes. */
function constant(emit: Emitter, { data }: Tensor, type: TensorType): Value {
  const first = data[0] ?? 0;
  // By Object.is: a zero keeps its sign.
  if (data.every((value) => Object.is(value, first))) return emit.constant(first, type);
  if (type.dtype === 'bool') {
    const flat = { shape: [data.length], dtype: type.dtype };
    const list = [...data].map((value) => value !== 0).join(', ');
    return emit.reshape(
      emit.line(`stablehlo.constant dense<[${list}]> : ${typeText(flat)}`, flat),
      type.shape,
    );
  }
  const hex = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex').toUpperCase();
  return emit.line(`stablehlo.constant dense<"0x${hex}"> : ${typeText(type)}`, type);
}

/** F(x) 2 = 1 + erf(x / sqrt 2), of the normal distribution F. */
const twiceNormal = (emit: Emitter, x: Value): Value =>
  emit.binary('add', emit.erf(emit.binary('multiply', x, emit.constant(Math.SQRT1_2))), emit.constant(1));

export const elementwise: Rules = {
  constant: (emit, _, { tensor }, [type]) => [constant(emit, tensor as Tensor, type!)],
  neg: unary('negate'),
  exp: unary('exponential'),
  log: unary('log'),
  sqrt: unary('sqrt'),
  tanh: unary('tanh'),
  abs: unary('abs'),
  erf: (emit, [x]) => [emit.erf(x!)],
  relu: (emit, [x]) => [emit.binary('maximum', x!, emit.constant(0))],
  stopGradient: (_, [x]) => [x!],
  add: binary('add'),
  sub: binary('subtract'),
  mul: binary('multiply'),
  div: binary('divide'),
  maximum: binary('maximum'),
  greater: comparison('GT'),
  greaterEqual: comparison('GE'),
  less: comparison('LT'),
  equal: comparison('EQ'),
  reluGrad: (emit, [dy, y], _, [type]) => [
    emit.select(emit.compare('GT', y!, emit.constant(0), type!.shape), dy!, emit.constant(0, type)),
  ],
  select: (emit, [condition, a, b], _, [type]) => [
    emit.select(
      emit.broadcastTo(condition!, type!.shape),
      emit.broadcastTo(a!, type!.shape),
      emit.broadcastTo(b!, type!.shape),
    ),
  ],
  cast: (emit, [x], { dtype }) => [
    dtype === 'bool'
      ? emit.compare('NE', x!, emit.constant(0, { shape: [], dtype: x!.dtype }), x!.shape)
      : emit.convert(x!, dtype as DType),
  ],
  gelu: (emit, [x]) => [
    emit.binary('multiply', emit.binary('multiply', x!, emit.constant(0.5)), twiceNormal(emit, x!)),
  ],
  geluGrad: (emit, [dy, x]) => {
    const distribution = emit.binary('multiply', twiceNormal(emit, x!), emit.constant(0.5));
    const exponent = emit.binary('multiply', emit.same('multiply', [x!, x!]), emit.constant(-0.5));
    const density = emit.binary(
      'multiply',
      emit.same('exponential', [exponent]),
      emit.constant(1 / Math.sqrt(2 * Math.PI)),
    );
    const slope = emit.binary('add', distribution, emit.same('multiply', [x!, density]));
    return [emit.same('multiply', [dy!, slope])];
  },
};
