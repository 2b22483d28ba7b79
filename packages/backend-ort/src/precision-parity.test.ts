/**
 * The first step in bfloat16 by the oracle, which rounds as mixed precision does, against PyTorch's autocast: parity/precision.py
 * made the fixture. Twenty steps run on XLA: packages/node/src/precision.xla.ts.
 */
import { createReference } from '@moco-ts/backend-testing';
import { expect, it } from 'vitest';
import { relative, sample } from './parity-testing.ts';
import { cases, limit, methodOf, mixed, run } from './steps-testing.ts';

it.each(Object.keys(mixed))('%s: loss and gradients are as exact as under autocast', async (name) => {
  const [given, { drift, gradients }] = [cases[name]!, mixed[name]!];
  const { losses, gradients: ours } = await run(createReference(), methodOf(given), given.spec.lr, {
    precision: 'bf16',
    steps: 1,
  });
  // Three times autocast's: both are samples of one rounding error.
  expect(Math.abs(losses[0]! / given.losses[0]! - 1)).toBeLessThan(3 * Math.max(...drift));
  const errors = Object.entries(gradients).map(([parameter, theirs]) => {
    const error = relative(
      sample(ours[`grad.${parameter}`]!.data, limit),
      given.gradients[parameter]!.sample,
    );
    // Rounding is there: it is not the float32 graph that ran.
    expect(error, parameter).toBeGreaterThan(1e-4);
    return error / theirs;
  });
  expect(Math.max(...errors)).toBeLessThan(3);
});
