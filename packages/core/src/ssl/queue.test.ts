import { describe, expect, it } from 'vitest';
import { trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { scalar } from '../tensor/tensor.ts';
import { enqueue, initQueue } from './queue.ts';

describe('enqueue', () => {
  const [dim, size, batch] = [2, 6, 2];
  const graph = trace((builder) =>
    enqueue(
      builder.input('queue', [dim, size]),
      builder.input('pointer', [], 'int32'),
      builder.input('keys', [batch, dim]),
    ),
  );
  /** Keys that tell step and row: column n of the queue should read 10 step + row, and the same negated. */
  const keys = (step: number) => ({
    shape: [batch, dim],
    data: [10 * step, -10 * step, 10 * step + 1, -(10 * step + 1)],
  });
  it('writes columns at the pointer, moves it, and goes round', () => {
    let queue: { shape: readonly number[]; data: ArrayLike<number> } = {
      shape: [dim, size],
      data: Array(12).fill(0.5),
    };
    let pointer: typeof queue = scalar(0, 'int32');
    const pointers: number[] = [];
    const heads: number[][] = [];
    for (let step = 1; step <= 4; step++) {
      const after = interpret(graph, { queue, pointer, keys: keys(step) });
      queue = after.queue!;
      pointer = after.pointer!;
      pointers.push(pointer.data[0]!);
      heads.push(Array.from(queue.data).slice(0, size));
    }
    expect(pointers).toEqual([2, 4, 0, 2]);
    expect(heads).toEqual([
      [10, 11, 0.5, 0.5, 0.5, 0.5],
      [10, 11, 20, 21, 0.5, 0.5],
      [10, 11, 20, 21, 30, 31],
      [40, 41, 20, 21, 30, 31],
    ]);
    expect(Array.from(queue.data).slice(size)).toEqual([-40, -41, -20, -21, -30, -31]);
  });
  it('keeps the dtype of the pointer', () => {
    expect(graph.values[graph.outputs[1]!.value]).toEqual({ shape: [], dtype: 'int32' });
  });
});

describe('initQueue', () => {
  const [dim, size] = [16, 500];
  const { data, shape } = initQueue(dim, size, 3);
  it('has unit columns', () => {
    expect(shape).toEqual([dim, size]);
    for (let k = 0; k < size; k++) {
      let square = 0;
      for (let d = 0; d < dim; d++) square += data[d * size + k]! ** 2;
      expect(square).toBeCloseTo(1, 6);
    }
  });
  it('points everywhere: the mean is near 0 and each direction has variance 1 / dim', () => {
    for (let d = 0; d < dim; d++) {
      const row = Array.from(data.subarray(d * size, (d + 1) * size));
      const mean = row.reduce((a, b) => a + b, 0) / size;
      const variance = row.reduce((a, b) => a + b * b, 0) / size;
      // Five standard errors.
      expect(Math.abs(mean)).toBeLessThan(5 / Math.sqrt(dim * size));
      expect(Math.abs(variance * dim - 1)).toBeLessThan(5 * Math.sqrt(2 / size));
    }
  });
  it('follows the seed', () => {
    expect(initQueue(dim, size, 3).data).toEqual(data);
    expect(initQueue(dim, size, 4).data).not.toEqual(data);
  });
});
