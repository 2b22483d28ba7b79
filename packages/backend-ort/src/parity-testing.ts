/** What the parity tests share: images from seeds, samples of long tensors, distances. The rules are parity/README.md's. */
import { rng, type Tensor } from '@moco-ts/core';

/** All elements where there are few, else those at (i * 2654435761) mod n. */
export function sample(data: ArrayLike<number>, limit: number): number[] {
  const n = data.length;
  if (n <= limit) return Array.from(data);
  return Array.from({ length: limit }, (_, i) => data[Number((BigInt(i) * 2654435761n) % BigInt(n))]!);
}

export function norm(values: ArrayLike<number>): number {
  let square = 0;
  for (let i = 0; i < values.length; i++) square += values[i]! ** 2;
  return Math.sqrt(square);
}

export const difference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a, (value, i) => value - b[i]!);

export const relative = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  norm(difference(a, b)) / (norm(b) || 1);

/** Both views of a step: half a shared coarse pattern, enlarged, and normal noise of each side's own. */
export function views(seed: number, step: number, batch: number, size: number): [Tensor, Tensor] {
  const grid = 8;
  const scale = size / grid;
  const pattern = rng(seed, 'x/base', step);
  const base = Float64Array.from({ length: batch * 3 * grid * grid }, () => pattern.normal());
  const side = (name: string): Tensor => {
    const noise = rng(seed, `x/${name}`, step);
    const data = new Float32Array(batch * 3 * size * size);
    for (let at = 0; at < data.length; at++) {
      const [plane, row, column] = [
        Math.floor(at / (size * size)),
        Math.floor((at % (size * size)) / size),
        at % size,
      ];
      const coarse = base[(plane * grid + Math.floor(row / scale)) * grid + Math.floor(column / scale)]!;
      data[at] = 0.5 * coarse + noise.normal();
    }
    return { shape: [batch, 3, size, size], dtype: 'float32', data };
  };
  return [side('q'), side('k')];
}

/** ONNX Runtime with the blocked layout, and without. */
export const lowerings = [
  { lowering: 'blocked', options: { threads: 2 } },
  { lowering: 'plain NCHW', options: { threads: 2, block: 0 } },
];
