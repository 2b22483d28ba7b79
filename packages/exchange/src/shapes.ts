/** The shapes that weights should have: what initialisation makes, without its randomness. */
import { type Encoder, type EncoderConfig, noRandom, type Params } from '@moco-ts/core';

/** Shapes of tensors by name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

export function shapesIn(params: Readonly<Params>): Shapes {
  return Object.fromEntries(Object.entries(params).map(([name, { shape }]) => [name, shape]));
}

/** By name. @throws UserError for sizes that don't fit each other */
export function encoderShapes(encoder: Encoder, config: EncoderConfig): Shapes {
  return shapesIn(encoder.init(config, noRandom));
}
