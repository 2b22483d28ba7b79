import { rng } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { layout } from './layout.ts';

/** Neighbours by a full sort. */
function neighboursOf(features: Float32Array, dim: number, k: number) {
  const row = (i: number) => features.subarray(i * dim, (i + 1) * dim);
  const count = features.length / dim;
  const cosine = (i: number, j: number) =>
    row(i).reduce((sum, x, d) => sum + x * row(j)[d]!, 0) /
    (Math.hypot(...row(i)) * Math.hypot(...row(j)) || 1);
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: count }, (_, j) => ({ row: j, similarity: cosine(i, j) }))
      .filter((other) => other.row !== i)
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, k),
  );
}

function clusters(count: number, dim: number): Float32Array {
  const random = rng(0, 'layout');
  const centres = Array.from({ length: 4 }, () => Array.from({ length: dim }, random.normal));
  return Float32Array.from({ length: count * dim }, (_, at) => {
    const i = Math.floor(at / dim);
    return centres[i % 4]![at % dim]! + 0.3 * random.normal();
  });
}

describe('layout', () => {
  const [count, dim] = [200, 10];
  const features = clusters(count, dim);
  const near = neighboursOf(features, dim, 15);
  const places = layout({ features, dim }, near, 0);

  it('keeps what belongs together together', () => {
    const distance = (i: number, j: number) =>
      Math.hypot(places[2 * i]! - places[2 * j]!, places[2 * i + 1]! - places[2 * j + 1]!);
    for (let i = 0; i < count; i++) {
      const others = Array.from({ length: count }, (_, j) => j).filter((j) => j !== i);
      const nearest = others.sort((a, b) => distance(i, a) - distance(i, b)).slice(0, 10);
      expect(nearest.every((j) => j % 4 === i % 4)).toBe(true);
    }
  });
  it('fills the unit square on its longer side', () => {
    const range = [0, 1].map((c) => {
      const values = [...places].filter((_, i) => i % 2 === c);
      return [Math.min(...values), Math.max(...values)];
    });
    for (const [low, high] of range) {
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
      expect(low! + high!).toBeCloseTo(1, 5);
    }
    expect(Math.max(...range.map(([low, high]) => high! - low!))).toBeCloseTo(1, 5);
  });
  it('is a function of vectors and seed', () => {
    expect(layout({ features, dim }, near, 0)).toEqual(places);
    expect(layout({ features, dim }, near, 1)).not.toEqual(places);
  });
  it.each([2, 3, 7, 8, 9])('places %i images, and as many of the same', (few) => {
    for (const some of [
      features.slice(0, few * dim),
      new Float32Array(few * dim).fill(0.5),
      new Float32Array(few * dim),
    ]) {
      const placed = layout({ features: some, dim }, neighboursOf(some, dim, Math.min(15, few - 1)), 0);
      expect(placed).toHaveLength(2 * few);
      expect(placed.every((x) => x >= 0 && x <= 1)).toBe(true);
      // No two lie on each other.
      expect(
        new Set(Array.from({ length: few }, (_, i) => `${placed[2 * i]},${placed[2 * i + 1]}`)).size,
      ).toBe(few);
    }
  });
});
