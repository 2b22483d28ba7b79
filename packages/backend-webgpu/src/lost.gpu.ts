import { mul, trace } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { webgpuPlugin } from './plugin.ts';

it('a lost device is an error in one line, and no hang', async () => {
  const backend = await webgpuPlugin.create({});
  const graph = trace((builder) => ({ y: mul(builder.input('x', [4]), 2) }));
  const program = await backend.compile(graph, { state: [{ input: 'x' }] });
  await program.load({ x: { shape: [4], dtype: 'float32', data: Float32Array.of(1, 2, 3, 4) } });
  expect([...(await program.run({})).y!.data]).toEqual([2, 4, 6, 8]);
  (tf.backend() as unknown as { readonly device: { destroy(): void } }).device.destroy();
  await expect(program.run({})).rejects.toThrow(/^the GPU was lost.*with resume/);
  await expect(program.read()).rejects.toThrow(/^the GPU was lost/);
});
