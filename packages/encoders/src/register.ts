import { registerEncoder } from '@moco-ts/core';
import * as archs from './archs.ts';

/** Makes all encoders of this package known to `encoderNamed`. */
export function registerEncoders(): void {
  for (const encoder of Object.values(archs)) registerEncoder(encoder);
}
