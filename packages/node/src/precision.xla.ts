/** Twenty steps on XLA in bfloat16, against PyTorch's autocast(bfloat16), and in float16: parity/precision.py made the fixture. */
import { xlaPlugin } from '@moco-ts/backend-xla';
import type { Precision } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { cases, methodOf, mixed, run, steps } from '../../backend-ort/src/steps-testing.ts';

/** @returns how far each loss is from that of float64, relative */
async function errorsOf(name: string, precision: Precision): Promise<number[]> {
  const backend = await xlaPlugin.create({ device: process.env.MOCO_XLA! });
  try {
    const given = cases[name]!;
    const { losses } = await run(backend, methodOf(given, precision), given.spec.lr, {
      precision,
      gradients: false,
    });
    expect(losses).toHaveLength(steps);
    return losses.map((loss, i) => Math.abs(loss - given.losses[i]!) / given.losses[i]!);
  } finally {
    await backend.dispose();
  }
}

const drift = (name: string) => Math.max(...mixed[name]!.drift);

// Autocast's drift from PyTorch's own float32, which is within 1e-6 of float64 here; three times: both are one draw of rounding.
it.each(['v3-vit', 'simclr'])('%s: the losses in bf16 drift as they do under autocast', async (name) => {
  const errors = await errorsOf(name, 'bf16');
  expect(Math.max(...errors)).toBeLessThan(3 * drift(name));
  expect(Math.max(...errors)).toBeGreaterThan(1e-5);
});

// The unit roundoff is an eighth of bfloat16's.
it('the losses in fp16 drift less', async () => {
  expect(Math.max(...(await errorsOf('v3-vit', 'fp16')))).toBeLessThan(drift('v3-vit'));
});
