import { topK, unitRows } from '@moco-ts/core';

export interface Neighbours {
  /** [images, k], the nearest first. */
  readonly neighbours: Int32Array<ArrayBuffer>;
  /** Their cosines. */
  readonly similarities: Float32Array<ArrayBuffer>;
}

/** The k nearest of each row by cosine, itself left out. @param features [M, dim], k < M */
export function nearest(features: Float32Array, dim: number, k: number): Neighbours {
  const rows = unitRows(features, dim);
  const count = rows.length / dim;
  const neighbours = new Int32Array(count * k);
  const similarities = new Float32Array(count * k);
  const cosines = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      let sum = 0;
      for (let d = 0; d < dim; d++) sum += rows[i * dim + d]! * rows[j * dim + d]!;
      cosines[j] = sum;
    }
    cosines[i] = Number.NEGATIVE_INFINITY;
    const nearest = topK(cosines, k).sort((a, b) => cosines[b]! - cosines[a]! || a - b);
    neighbours.set(nearest, i * k);
    nearest.forEach((j, at) => {
      similarities[i * k + at] = cosines[j]!;
    });
  }
  return { neighbours, similarities };
}

/**
 * How often the nearest image shows the same subject, in percent, of the images whose subject others show too.
 * @param subjects numbers; -1: unknown
 */
export function agreement(neighbours: Int32Array, k: number, subjects: Int32Array): number | undefined {
  const times = new Map<number, number>();
  for (const subject of subjects) times.set(subject, (times.get(subject) ?? 0) + 1);
  let [asked, right] = [0, 0];
  subjects.forEach((subject, i) => {
    if (subject < 0 || times.get(subject)! < 2) return;
    asked++;
    if (subjects[neighbours[i * k]!] === subject) right++;
  });
  return asked === 0 ? undefined : (100 * right) / asked;
}
