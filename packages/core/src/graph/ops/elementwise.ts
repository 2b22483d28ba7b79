/** Elementwise ops. Binary ones broadcast as NumPy does. */
import { ShapeError } from '../../errors.ts';
import { broadcastShapes } from '../../tensor/broadcast.ts';
import { type DType, filled, isFloat, sameShape } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import { builderOf, lift, type Operand, type Traced } from '../trace.ts';
import { floatOf } from './float.ts';
import { unbroadcast } from './shape.ts';

function unary(name: string, derivative: (dy: Traced, x: Traced, y: Traced) => Traced) {
  defineOp({
    name,
    infer: ([x]) => {
      floatOf(x!);
      return [x!];
    },
    grad: ({ dOutputs, inputs, outputs }) => [derivative(dOutputs[0]!, inputs[0]!, outputs[0]!)],
  });
  return (x: Traced): Traced => x.builder.emit(name, [x])[0]!;
}

type BinaryGradient = (dy: Traced, a: Traced, b: Traced, y: Traced) => Traced;

function binary(name: string, dA: BinaryGradient, dB: BinaryGradient) {
  defineOp({
    name,
    infer: ([a, b]) => [{ shape: broadcastShapes(a!.shape, b!.shape), dtype: floatOf(a!, b!) }],
    grad: ({ dOutputs, inputs: [a, b], outputs: [y], needs }) => [
      needs[0] ? unbroadcast(dA(dOutputs[0]!, a!, b!, y!), a!) : undefined,
      needs[1] ? unbroadcast(dB(dOutputs[0]!, a!, b!, y!), b!) : undefined,
    ],
  });
  return (a: Operand, b: Operand): Traced => {
    const builder = builderOf(a, b);
    return builder.emit(name, [lift(builder, a), lift(builder, b)])[0]!;
  };
}

function comparison(name: string) {
  defineOp({
    name,
    gradient: 'none',
    infer: ([a, b]) => {
      if (a!.dtype !== b!.dtype) throw new ShapeError(`can't compare ${a!.dtype} with ${b!.dtype}`);
      return [{ shape: broadcastShapes(a!.shape, b!.shape), dtype: 'bool' }];
    },
  });
  return (a: Operand, b: Operand): Traced => {
    const builder = builderOf(a, b);
    return builder.emit(name, [lift(builder, a), lift(builder, b)])[0]!;
  };
}

export const neg = unary('neg', (dy) => neg(dy));
export const exp = unary('exp', (dy, _x, y) => mul(dy, y));
export const log = unary('log', (dy, x) => div(dy, x));
export const sqrt = unary('sqrt', (dy, _x, y) => div(mul(dy, 0.5), y));
export const tanh = unary('tanh', (dy, _x, y) => mul(dy, sub(1, mul(y, y))));
/** |x|; the derivative at 0 is 0, as in PyTorch. */
export const abs = unary('abs', (dy, x) =>
  mul(dy, sub(cast(greater(x, 0), 'float32'), cast(less(x, 0), 'float32'))),
);
/** The Gauss error function. */
export const erf = unary('erf', (dy, x) => mul(dy, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x))))));
/** max(x, 0); the derivative at 0 is 0, as in PyTorch. */
export const relu = unary('relu', (dy, _x, y) => reluGrad(dy, y));

export const add = binary(
  'add',
  (dy) => dy,
  (dy) => dy,
);
export const sub = binary(
  'sub',
  (dy) => dy,
  (dy) => neg(dy),
);
export const mul = binary(
  'mul',
  (dy, _a, b) => mul(dy, b),
  (dy, a) => mul(dy, a),
);
export const div = binary(
  'div',
  (dy, _a, b) => div(dy, b),
  (dy, _a, b, y) => neg(div(mul(dy, y), b)),
);
/** The larger operand; a tie gives each side half of the gradient, as in PyTorch. */
export const maximum = binary(
  'maximum',
  (dy, a, b) => mul(dy, shareOfLarger(a, b)),
  (dy, a, b) => mul(dy, shareOfLarger(b, a)),
);

function shareOfLarger(a: Traced, b: Traced): Traced {
  return mul(0.5, add(cast(greater(a, b), 'float32'), cast(greaterEqual(a, b), 'float32')));
}

export const greater = comparison('greater');
export const greaterEqual = comparison('greaterEqual');
export const less = comparison('less');
export const equal = comparison('equal');

defineOp({
  name: 'reluGrad',
  infer: ([dy, y]) => {
    floatOf(dy!, y!);
    if (!sameShape(dy!.shape, y!.shape)) throw new ShapeError('expected two operands of one shape');
    return [dy!];
  },
  // By y it is 0 wherever there is one.
  grad: ({ dOutputs, inputs: [, y], needs }) => [
    reluGrad(dOutputs[0]!, y!),
    needs[1] ? y!.builder.constant(filled(y!.shape, 0)) : undefined,
  ],
});
/** The gradient of relu: `dy` where the output `y` (or input) is positive, else 0. */
export function reluGrad(dy: Traced, y: Traced): Traced {
  return dy.builder.emit('reluGrad', [dy, y])[0]!;
}

defineOp({
  name: 'select',
  infer: ([condition, a, b]) => {
    if (condition!.dtype !== 'bool') throw new ShapeError('the condition must be bool');
    if (a!.dtype !== b!.dtype) throw new ShapeError(`can't choose between ${a!.dtype} and ${b!.dtype}`);
    const shape = broadcastShapes(condition!.shape, broadcastShapes(a!.shape, b!.shape));
    return [{ shape, dtype: a!.dtype }];
  },
  grad: ({ dOutputs, inputs: [condition, a, b], needs }) => {
    const dy = dOutputs[0]!;
    return [
      undefined,
      needs[1] ? unbroadcast(select(condition!, dy, 0), a!) : undefined,
      needs[2] ? unbroadcast(select(condition!, 0, dy), b!) : undefined,
    ];
  },
});
/** `a` where the condition holds, else `b`. */
export function select(condition: Traced, a: Operand, b: Operand): Traced {
  const { builder } = condition;
  return builder.emit('select', [condition, lift(builder, a), lift(builder, b)])[0]!;
}

defineOp({
  name: 'cast',
  infer: ([x], { dtype }) => [{ shape: x!.shape, dtype: dtype as DType }],
  grad: ({ dOutputs, inputs: [x] }) => [isFloat(x!.dtype) ? cast(dOutputs[0]!, x!.dtype) : undefined],
});
/**
 * Another dtype. Float to a shorter float rounds to the nearest, ties to even, and to infinity beyond its range; float to
 * integer truncates toward zero; to bool, non-zero is true. Between float types gradients flow; a
 * loss that depends on a float through another type has none by it, which is an error: put stopGradient before.
 */
export function cast(x: Traced, dtype: DType): Traced {
  return x.dtype === dtype ? x : x.builder.emit('cast', [x], { dtype })[0]!;
}

defineOp({ name: 'stopGradient', gradient: 'none', infer: ([x]) => [x!] });
/** The same value, through which no gradient flows. */
export function stopGradient(x: Traced): Traced {
  return x.builder.emit('stopGradient', [x])[0]!;
}
