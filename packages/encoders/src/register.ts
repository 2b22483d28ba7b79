import { type Encoder, registerEncoder } from '@moco-ts/core';
import * as archs from './archs.ts';

/** All encoders of this package. */
export const builtInEncoders: readonly Encoder[] = Object.values(archs);

/** Makes all encoders of this package known to `encoderNamed`. */
export function registerEncoders(): void {
  for (const encoder of builtInEncoders) registerEncoder(encoder);
}
