import { rng } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { layout, unitSquare } from './layout.ts';
import { agreement, nearest } from './neighbours.ts';

/** 60 points around three directions of eight dimensions, one group after the other. */
const groups = 3;
const random = rng(0, 'test/map');
const features = Float32Array.from({ length: 60 * 8 }, (_, at) => {
  const [point, axis] = [Math.floor(at / 8), at % 8];
  return (axis === Math.floor(point / 20) ? 5 : 0) + 0.6 * random.normal();
});
const cosine = (a: number, b: number) => {
  const [x, y] = [a, b].map((i) => features.slice(8 * i, 8 * i + 8)) as [Float32Array, Float32Array];
  return x.reduce((sum, value, d) => sum + value * y[d]!, 0) / (Math.hypot(...x) * Math.hypot(...y));
};

describe('nearest', () => {
  it('is a full sort by cosine, without the point itself', () => {
    const { neighbours, similarities } = nearest(features, 8, 5);
    for (let i = 0; i < 60; i++) {
      const others = Array.from({ length: 60 }, (_, j) => j).filter((j) => j !== i);
      const sorted = others.sort((a, b) => cosine(i, b) - cosine(i, a)).slice(0, 5);
      expect([...neighbours.slice(5 * i, 5 * i + 5)]).toEqual(sorted);
      sorted.forEach((j, at) => {
        expect(similarities[5 * i + at]).toBeCloseTo(cosine(i, j), 5);
      });
    }
  });
});

describe('agreement', () => {
  it('counts the images whose nearest shows the same', () => {
    // The nearest of 0 is 1, of 1 is 2, of 2 is 1, of 3 is 0.
    const neighbours = Int32Array.of(1, 2, 1, 0);
    expect(agreement(neighbours, 1, Int32Array.of(7, 7, 8, 8))).toBe(25);
    expect(agreement(neighbours, 1, Int32Array.of(7, 7, 7, -1))).toBe(100);
  });
  it('is unknown where no two images show the same', () => {
    expect(agreement(Int32Array.of(1, 0), 1, Int32Array.of(-1, -1))).toBeUndefined();
    expect(agreement(Int32Array.of(1, 0), 1, Int32Array.of(0, 1))).toBeUndefined();
  });
});

describe('layout', () => {
  const { neighbours, similarities } = nearest(features, 8, 8);
  const first = layout(neighbours, similarities, 8);
  it('keeps groups together and apart from each other', () => {
    const centre = (group: number) =>
      [0, 1].map((axis) =>
        first.slice(20 * group, 20 * group + 20).reduce((sum, at) => sum + at[axis]! / 20, 0),
      );
    const centres = Array.from({ length: groups }, (_, group) => centre(group));
    first.forEach(([x, y], i) => {
      const distances = centres.map(([cx, cy]) => Math.hypot(x! - cx!, y! - cy!));
      expect(distances.indexOf(Math.min(...distances))).toBe(Math.floor(i / 20));
    });
  });
  it('begins where the last one was', () => {
    const moved = (from: readonly number[][], to: readonly number[][]) =>
      from.reduce((sum, [x, y], i) => sum + Math.hypot(x! - to[i]![0]!, y! - to[i]![1]!) / from.length, 0);
    const mirrored = first.map(([x, y]) => [-x!, y!]);
    const next = layout(neighbours, similarities, 8, mirrored);
    expect(moved(next, mirrored)).toBeLessThan(0.5 * moved(next, first));
  });
  it('fills the unit square', () => {
    const places = unitSquare(first);
    expect(Math.min(...places)).toBe(0);
    expect(Math.max(...places)).toBe(1);
    expect([
      ...unitSquare([
        [3, 4],
        [3, 4],
      ]),
    ]).toEqual([0, 0, 0, 0]);
  });
});
