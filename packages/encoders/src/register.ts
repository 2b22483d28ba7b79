import { type EncoderTraits, encoderNamed, encoderNames, registerEncoder, traitsOf } from '@moco-ts/core';
import * as archs from './archs.ts';
import type { ResnetEncoder } from './resnet.ts';
import type { VitEncoder } from './vit.ts';

/** All encoders of this package. */
export const builtInEncoders: readonly (ResnetEncoder | VitEncoder)[] = Object.values(archs);

/** Makes all encoders of this package known to `encoderNamed`. */
export function registerEncoders(): void {
  for (const encoder of builtInEncoders) registerEncoder(encoder);
}

/**
 * What is known of an arch by its name alone, as settings and stored configurations have it: the traits of the encoder that
 * is registered or built in under the name; the defaults for one whose plugin is not loaded.
 */
export function traitsNamed(arch: string): EncoderTraits {
  const known = encoderNames().includes(arch)
    ? encoderNamed(arch)
    : builtInEncoders.find(({ name }) => name === arch);
  return traitsOf(known);
}
