/** Writes the body of a StableHLO function, op by op, and knows each value's type. */
import { type DType, isFloat, type Shape, sameShape, sizeOf, type TensorType } from '@moco-ts/core';

/** A value of the module: `%7`, with its type. */
export interface Value extends TensorType {
  readonly name: string;
}

const elements: Readonly<Record<DType, string>> = {
  float32: 'f32',
  bfloat16: 'bf16',
  float16: 'f16',
  int32: 'i32',
  uint8: 'ui8',
  bool: 'i1',
};

export const elementType = ({ dtype }: Pick<TensorType, 'dtype'>): string => elements[dtype];

/** `tensor<2x3xf32>`. */
export const typeText = ({ shape, dtype }: TensorType): string =>
  `tensor<${[...shape, elements[dtype]].join('x')}>`;

const typeList = (types: readonly TensorType[]): string => types.map(typeText).join(', ');

const signature = (inputs: readonly TensorType[], output: TensorType): string =>
  `(${typeList(inputs)}) -> ${typeText(output)}`;

const scalarOf = (dtype: DType): TensorType => ({ shape: [], dtype });

/** What products of float32 do: HIGHEST keeps all bits; by DEFAULT devices take TF32 or bfloat16. */
export type ProductPrecision = 'HIGHEST' | 'DEFAULT';

export class Emitter {
  readonly lines: string[] = [];
  readonly precision: ProductPrecision;
  private count = 0;
  private readonly shared = new Map<string, Value>();
  /** What reshaped values were made of, by name. */
  private readonly reshaped = new Map<string, Value>();

  constructor(precision: ProductPrecision = 'HIGHEST') {
    this.precision = precision;
  }

  /** One op whose text is given up to its types: `inputs` and `type` make its signature. */
  op(text: string, inputs: readonly Value[], type: TensorType): Value {
    return this.line(`${text} : ${signature(inputs, type)}`, type);
  }

  /** An op of several results, given up to its types. */
  several(text: string, inputs: readonly Value[], types: readonly TensorType[]): Value[] {
    const name = `%${this.count++}`;
    this.lines.push(`${name}:${types.length} = ${text} : (${typeList(inputs)}) -> (${typeList(types)})`);
    return types.map(({ shape, dtype }, i) => ({ name: `${name}#${i}`, shape, dtype }));
  }

  /** `stablehlo.NAME a, b : TYPE`, for ops whose operands and result have one type. */
  same(name: string, inputs: readonly Value[]): Value {
    const [first] = inputs;
    return this.line(
      `stablehlo.${name} ${inputs.map((value) => value.name).join(', ')} : ${typeText(first!)}`,
      first!,
    );
  }

  /** A line that makes one value, its types written out by the caller. */
  line(text: string, { shape, dtype }: TensorType): Value {
    const value = { name: `%${this.count++}`, shape, dtype };
    this.lines.push(`${value.name} = ${text}`);
    return value;
  }

  /** The value itself, once another is there: XLA neither merges nor moves what is computed with it. */
  barrier(x: Value, after: Value): Value {
    const name = `%${this.count++}`;
    const operands = `${x.name}, ${after.name} : ${typeList([x, after])}`;
    this.lines.push(`${name}:2 = stablehlo.optimization_barrier ${operands}`);
    return { ...x, name: `${name}#0` };
  }

  /** A constant, or a tensor filled with it. Made once. */
  constant(value: number, type: TensorType = scalarOf('float32')): Value {
    const key = `${value} ${typeText(type)} ${Object.is(value, -0)}`;
    const known = this.shared.get(key);
    if (known) return known;
    const made = this.line(
      `stablehlo.constant dense<${literal(value, type.dtype)}> : ${typeText(type)}`,
      type,
    );
    this.shared.set(key, made);
    return made;
  }

  /** A reshape of a reshape is one of the first value: none, where that has the shape. */
  reshape(x: Value, shape: Shape): Value {
    const source = this.beforeReshape(x);
    if (sameShape(source.shape, shape)) return source;
    if (sameShape(x.shape, shape)) return x;
    const made = this.op(`stablehlo.reshape ${source.name}`, [source], { shape, dtype: x.dtype });
    this.reshaped.set(made.name, source);
    return made;
  }

  /** The value that a reshape made this one of, else itself. */
  beforeReshape(x: Value): Value {
    return this.reshaped.get(x.name) ?? x;
  }

  /** Along new axes: axis i of x becomes `dims[i]`. */
  broadcast(x: Value, shape: Shape, dims: readonly number[]): Value {
    return this.op(`stablehlo.broadcast_in_dim ${x.name}, dims = [${dims.join(', ')}]`, [x], {
      shape,
      dtype: x.dtype,
    });
  }

  /** By NumPy's rule: aligned at the last axis, extents of 1 are repeated. */
  broadcastTo(x: Value, shape: Shape): Value {
    if (sameShape(x.shape, shape)) return x;
    const offset = shape.length - x.shape.length;
    // broadcast_in_dim repeats new axes alone: extents of 1 are dropped first.
    const kept = x.shape.flatMap((extent, i) => (extent === 1 && shape[i + offset] !== 1 ? [] : [i]));
    return this.broadcast(
      this.reshape(
        x,
        kept.map((i) => x.shape[i]!),
      ),
      shape,
      kept.map((i) => i + offset),
    );
  }

  transpose(x: Value, permutation: readonly number[]): Value {
    return this.op(`stablehlo.transpose ${x.name}, dims = [${permutation.join(', ')}]`, [x], {
      shape: permutation.map((axis) => x.shape[axis]!),
      dtype: x.dtype,
    });
  }

  /** Of a reshaped value the first one is converted, and reshaped then: so it is known which that was. */
  convert(x: Value, dtype: DType): Value {
    if (x.dtype === dtype) return x;
    const source = this.beforeReshape(x);
    const { shape } = source;
    return this.reshape(this.op(`stablehlo.convert ${source.name}`, [source], { shape, dtype }), x.shape);
  }

  /** An elementwise op of two operands that broadcast to `shape`, the larger one's by default. */
  binary(name: string, a: Value, b: Value, shape?: Shape): Value {
    const common = shape ?? (a.shape.length >= b.shape.length ? a.shape : b.shape);
    return this.same(name, [this.broadcastTo(a, common), this.broadcastTo(b, common)]);
  }

  compare(direction: string, a: Value, b: Value, shape: Shape): Value {
    const [x, y] = [this.broadcastTo(a, shape), this.broadcastTo(b, shape)];
    return this.op(`stablehlo.compare ${direction}, ${x.name}, ${y.name}`, [x, y], { shape, dtype: 'bool' });
  }

  select(condition: Value, a: Value, b: Value): Value {
    return this.line(
      `stablehlo.select ${condition.name}, ${a.name}, ${b.name} : ${typeText(condition)}, ${typeText(a)}`,
      a,
    );
  }

  /** The axes drop out. */
  reduce(kind: 'add' | 'maximum', x: Value, axes: readonly number[]): Value {
    if (axes.length === 0) return x;
    const type = { shape: x.shape.filter((_, axis) => !axes.includes(axis)), dtype: x.dtype };
    const start = this.constant(kind === 'add' ? 0 : lowest(x.dtype), scalarOf(x.dtype));
    return this.line(
      `stablehlo.reduce(${x.name} init: ${start.name}) applies stablehlo.${kind} across dimensions = [${axes.join(', ')}] : (${typeText(x)}, ${typeText(start)}) -> ${typeText(type)}`,
      type,
    );
  }

  /** The Gauss error function, a composite that plugins expand themselves. */
  erf(x: Value): Value {
    return this.line(`chlo.erf ${x.name} : ${typeText(x)} -> ${typeText(x)}`, x);
  }

  /** The mean over axes, which stay with an extent of 1 where `keep` says so. */
  mean(x: Value, axes: readonly number[], shape: Shape): Value {
    const count = sizeOf(axes.map((axis) => x.shape[axis]!));
    return this.binary(
      'multiply',
      this.reshape(this.reduce('add', x, axes), shape),
      this.constant(1 / count),
    );
  }
}

/** The number that no other is below: where a maximum starts. */
export const lowest = (dtype: DType): number => (isFloat(dtype) ? -Infinity : -(2 ** 31));

function literal(value: number, dtype: DType): string {
  if (dtype === 'bool') return `${value !== 0}`;
  if (!isFloat(dtype)) return `${value}`;
  if (!Number.isFinite(value)) return bits(value, dtype);
  // A mantissa needs its point: 1e0 is refused.
  return Math.fround(value)
    .toExponential()
    .replace(/^(-?\d+)e/, '$1.0e');
}

/** What is not finite, as bits. */
function bits(value: number, dtype: DType): string {
  const word = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  // Of the float32's upper half bfloat16 is made; float16 has three exponent bits less.
  if (dtype === 'bfloat16') return hex(word >>> 16, 4);
  return dtype === 'float16'
    ? hex(((word >>> 16) & 0x8000) | 0x7c00 | ((word >>> 13) & 0x3ff), 4)
    : hex(word, 8);
}

const hex = (bits: number, digits: number) => `0x${bits.toString(16).toUpperCase().padStart(digits, '0')}`;
