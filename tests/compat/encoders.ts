/** The smallest encoders of the two kinds, so that files of whole runs are small. */
import { registerEncoder } from '../../packages/core/src/index.ts';
import { defineResnet, defineVit } from '../../packages/encoders/src/index.ts';

const encoders = [
  defineResnet({ name: 'resnet-compat', block: 'basic', depths: [1, 1, 1, 1], width: 1, stem: 'small' }),
  defineVit({ name: 'vit_compat', dim: 8, depth: 1, heads: 2 }),
];

export function registerSmallEncoders(): void {
  // To the compiler the sources and the built packages have types of their own.
  for (const encoder of encoders) registerEncoder(encoder as never);
}
