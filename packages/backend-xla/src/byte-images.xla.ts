import { conv2d, mean, mul, normaliseBytes, rng, StepTracer, sgd, takingBytes, tensor } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { xlaPlugin } from './plugin.ts';

it('images that come as bytes give the same bits as normalised ones', async () => {
  const shape = [4, 3, 8, 8];
  const by = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const random = rng(0, 'bytes');
  const draw = (size: number) => Float32Array.from({ length: size }, random.normal);
  const w = tensor(draw(8 * 3 * 9), [8, 3, 3, 3]);
  const tracer = new StepTracer({ w });
  const x = tracer.feed('x', shape);
  const y = conv2d(x, tracer.state.w!, { padding: 1 });
  tracer.metric('y', y);
  tracer.metric('x', mul(x, 1));
  tracer.setState('w', mul(tracer.state.w!, mean(y)));
  const step = tracer.finish(sgd({}));
  const bytes = Uint8Array.from({ length: 4 * 3 * 64 }, (_, i) => (i < 256 ? i : random.integer(256)));

  const backend = await xlaPlugin.create({ device: process.env.MOCO_XLA! });
  expect(backend.capabilities().byteImages).toBe(true);
  const results = [];
  for (const [given, feed] of [
    [step, tensor(normaliseBytes(bytes, 64, by), shape)],
    [takingBytes(step, ['x'], by), tensor(bytes, shape, 'uint8')],
  ] as const) {
    const program = await backend.compile(given.graph, { state: given.state });
    await program.load({ w });
    results.push({ ...(await program.run({ x: feed })), ...(await program.read()) });
    await program.dispose();
  }
  await backend.dispose();
  expect(results[1]).toEqual(results[0]);
});
