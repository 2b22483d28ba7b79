/** Test cases as data: a small graph and what to feed it. The expected values come from core's oracle. */
import {
  filled,
  type GraphBuilder,
  type HostDType,
  type ReducedDType,
  type Rng,
  rng,
  type Shape,
  sizeOf,
  type Tensor,
  type Traced,
  type TracedParams,
  tensor,
} from '@moco-ts/core';

export interface Case {
  /** The op under test, or `chain` where ops are tested together. */
  readonly op: string;
  readonly name: string;
  /** Declares the inputs and gives the outputs by name. */
  build(builder: GraphBuilder): Record<string, Traced>;
  /** A tensor for each input: the same ones each time. */
  feeds(): Record<string, Tensor>;
  /** The outputs through which gradients are tested. Default: all of float32. */
  readonly through?: readonly string[];
  /** Finite differences say nothing about the gradient there: a tie, 0 into relu, beside a pole, a stopped path. */
  readonly rough?: boolean;
  /**
   * The least magnitude against which rounding is measured, where results are small differences of larger numbers.
   * Default: an output's own largest.
   */
  readonly scale?: number;
  /** The type of two bytes in which it computes: for backends that have it. */
  readonly reduced?: ReducedDType;
  /** How often a result was rounded to that type. Default 1. */
  readonly roundings?: number;
  /** By how much the tolerance is wider: for chains, where rounding adds up. Default 1. */
  readonly slack?: number;
}

/** A feed that is drawn from the case's own stream. */
export type Draw = (random: Rng) => Tensor;
type Input = Draw | Tensor;

type Options = Pick<Case, 'through' | 'rough' | 'scale' | 'slack' | 'reduced' | 'roundings'>;

/**
 * A case from its inputs and a function of them.
 * @param body returns one value, which becomes the output `y`, or several by name
 */
export function makeCase(
  op: string,
  name: string,
  inputs: Readonly<Record<string, Input>>,
  body: (inputs: TracedParams, builder: GraphBuilder) => Traced | Record<string, Traced>,
  options: Options = {},
): Case {
  const feeds = () =>
    Object.fromEntries(
      Object.entries(inputs).map(([input, given]) => [
        input,
        typeof given === 'function' ? given(rng(0, `case/${op}/${name}/${input}`)) : given,
      ]),
    );
  return {
    ...options,
    op,
    name,
    feeds,
    build: (builder) => {
      const traced = Object.fromEntries(
        Object.entries(feeds()).map(([input, { shape, dtype }]) => [
          input,
          builder.input(input, shape, dtype),
        ]),
      );
      const outputs = body(traced, builder);
      return 'builder' in outputs && 'id' in outputs
        ? { y: outputs as Traced }
        : (outputs as Record<string, Traced>);
    },
  };
}

function drawn(shape: Shape, dtype: HostDType, draw: (random: Rng) => number): Draw {
  return (random) =>
    tensor(
      Array.from({ length: sizeOf(shape) }, () => draw(random)),
      shape,
      dtype,
    );
}

/** Normal values. */
export const normal = (shape: Shape, mean = 0, deviation = 1): Draw =>
  drawn(shape, 'float32', (random) => mean + deviation * random.normal());

/** Uniform values in [low, high). */
export const uniform = (shape: Shape, low: number, high: number): Draw =>
  drawn(shape, 'float32', (random) => random.uniform(low, high));

/** Values in [low, high) of either sign: away from 0. */
export const awayFromZero = (shape: Shape, low = 0.3, high = 2): Draw =>
  drawn(shape, 'float32', (random) => random.uniform(low, high) * (random.integer(2) === 0 ? -1 : 1));

/** Integers in [low, high). */
export const integers = (shape: Shape, low: number, high: number, dtype: HostDType = 'int32'): Draw =>
  drawn(shape, dtype, (random) => low + random.integer(high - low));

export const bools = (shape: Shape): Draw => drawn(shape, 'bool', (random) => random.integer(2));

/** A permutation of 0..n-1. */
export const permutation =
  (n: number): Draw =>
  (random) =>
    tensor(random.permutation(n), [n], 'int32');

/** A vector of given values. */
export const values = (data: readonly number[], dtype: HostDType = 'float32'): Tensor =>
  tensor(data, [data.length], dtype);

/** One value everywhere. */
export const all = (shape: Shape, value: number): Tensor => filled(shape, value);
