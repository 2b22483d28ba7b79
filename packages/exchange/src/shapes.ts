/** The shapes that weights should have: what initialisation makes, without its randomness. */
import type { Encoder, EncoderConfig, Params, Rng } from '@moco-ts/core';

/** Shapes of tensors by name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

const zeros: Rng = {
  uint32: () => 0,
  uniform: () => 0,
  normal: () => 0,
  integer: () => 0,
  permutation: (n) => new Int32Array(n),
};

/** For initialisers of which the shapes alone are wanted. */
export const noRandom = (): Rng => zeros;

export function shapesIn(params: Readonly<Params>): Shapes {
  return Object.fromEntries(Object.entries(params).map(([name, { shape }]) => [name, shape]));
}

/** By name. @throws UserError for sizes that don't fit each other */
export function encoderShapes(encoder: Encoder, config: EncoderConfig): Shapes {
  return shapesIn(encoder.init(config, noRandom));
}
