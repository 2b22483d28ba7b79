/** Finds out whether, and with which block, this machine's ONNX Runtime computes in the nchwc domain. */
import { conv2d, interpret, rng, trace } from '@moco-ts/core';
import type * as Ort from 'onnxruntime-node';
import { lower, outputName } from './lower.ts';

/** Largest first: a smaller block than the machine's gives wrong values, which the comparison finds. */
const candidates = [16, 8];
const tolerance = 1e-4;

/** The block of channels, or 0 where only the plain layout works. Never throws. */
export async function probeBlock(ort: typeof Ort): Promise<number> {
  for (const block of candidates) if (await works(ort, block)) return block;
  return 0;
}

/** Runs one small convolution and compares it with the oracle. */
async function works(ort: typeof Ort, block: number): Promise<boolean> {
  const [xShape, wShape] = [
    [1, 32, 3, 3],
    [32, 32, 3, 3],
  ] as const;
  const graph = trace((builder) => {
    const x = builder.input('x', xShape);
    return { y: conv2d(x, builder.input('w', wShape), { padding: 1 }) };
  });
  const random = rng(0, 'probe');
  const values = (size: number) => Float32Array.from({ length: size }, () => random.uniform(-1, 1));
  const [x, w] = [values(288), values(9216)];
  const expected = interpret(graph, { x: { shape: xShape, data: x }, w: { shape: wShape, data: w } }).y!;
  try {
    const session = await ort.InferenceSession.create(lower(graph, [], block).bytes);
    const result = await session.run({
      x: new ort.Tensor('float32', x, xShape),
      w: new ort.Tensor('float32', w, wShape),
    });
    await session.release();
    const actual = result[outputName('y')]!.data as Float32Array;
    return actual.every((value, i) => Math.abs(value - expected.data[i]!) < tolerance);
  } catch {
    return false;
  }
}
