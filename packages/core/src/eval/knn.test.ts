import { describe, expect, it } from 'vitest';
import type { Backend } from '../backend.ts';
import { interpret } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { tensor } from '../tensor/tensor.ts';
import { knnAccuracy, knnVote } from './knn.ts';
import { nearestNeighbours, topK, unitRows } from './similarity.ts';

describe('topK', () => {
  it.each([1, 2, 7, 64, 200, 500])('%i largest, against a full sort', (k) => {
    const random = rng(0, 'topk', k);
    for (const values of [
      Float32Array.from({ length: 200 }, random.normal),
      Float32Array.from({ length: 200 }, () => random.integer(5)),
      Float32Array.from({ length: 200 }, (_, i) => i),
      Float32Array.from({ length: 200 }, (_, i) => -i),
    ]) {
      // A stable sort: of equal values the earlier comes first.
      const sorted = Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
      expect([...topK(values, k)].sort((a, b) => a - b)).toEqual(sorted.slice(0, k).sort((a, b) => a - b));
    }
  });
  it('never prefers NaN to a number', () => {
    const values = Float32Array.of(Number.NaN, Number.NaN, -3, Number.NaN, 2, -1);
    expect([...topK(values, 3)].sort()).toEqual([2, 4, 5]);
  });
  it('of nothing is nothing', () => {
    expect(topK(new Float32Array(0), 3)).toHaveLength(0);
  });
});

describe('unitRows', () => {
  it('scales rows and leaves zeros', () => {
    const rows = Float32Array.of(3, 4, 0, 0, -2, 0);
    expect(Array.from(unitRows(rows, 2), (x) => Number(x.toFixed(6)))).toEqual([0.6, 0.8, 0, 0, -1, 0]);
    expect([...rows]).toEqual([3, 4, 0, 0, -2, 0]);
  });
});

describe('knnVote', () => {
  const labels = [0, 1, 1, 2, 2, 2];
  const similarity = Float32Array.of(0.9, 0.7, 0.7, 0.1, 0.1, 0.1);
  const vote = (k: number, temperature: number) =>
    knnVote(similarity, labels, { dim: 1, classes: 3, k, temperature });
  it('weighs neighbours by exp(similarity / T)', () => {
    // k 3: exp(9) = 8103 against 2 exp(7) = 2193; at T = 1, 2.46 against 2 exp(.7) = 4.03.
    expect(vote(3, 0.1)).toBe(0);
    expect(vote(3, 1)).toBe(1);
    // k 6 at a high temperature: the larger number wins.
    expect(vote(6, 100)).toBe(2);
    expect(vote(1, 100)).toBe(0);
  });
  it("asks the first k by similarity, by default 200, at T = 0.1 (InstDisc's)", () => {
    expect(knnVote(similarity, labels, { dim: 1, classes: 3 })).toBe(0);
    // 200 neighbours of the second class at 0.5, and one more would not fit.
    const many = Float32Array.from({ length: 300 }, (_, i) => (i < 100 ? 0.6 : 0.5));
    const classes = Array.from(many, (_, i) => (i < 100 ? 0 : 1));
    // 100 exp(6) = 40343 against 100 exp(5) = 14841; all 200 of the second would give 29683.
    expect(knnVote(many, classes, { dim: 1, classes: 2 })).toBe(0);
    expect(knnVote(many, classes, { dim: 1, classes: 2, k: 300, temperature: 1 })).toBe(1);
  });
});

describe('knnVote of what is not finite', () => {
  const options = { dim: 1, classes: 2, k: 2 };
  it('is no class, not the first', () => {
    expect(knnVote(new Float32Array(4).fill(Number.NaN), [0, 0, 1, 1], options)).toBe(-1);
  });
  it('is that of the other rows', () => {
    const similarity = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, 0.5, 0.4);
    expect(knnVote(similarity, [0, 0, 1, 1], { ...options, k: 4 })).toBe(1);
  });
  it('weighs by a temperature under which exp(1 / T) is infinite', () => {
    // Shares exp(0), exp(-100), exp(-200): the first class alone counts.
    expect(
      knnVote(Float32Array.of(0.8, 0.9, 1), [0, 0, 1], { dim: 1, classes: 2, k: 3, temperature: 0.001 }),
    ).toBe(1);
  });
});

/** The least that these functions need of a backend. */
const backend: Backend = {
  name: 'oracle',
  device: 'cpu',
  capabilities: () => ({ training: false, inference: true, dtypes: ['float32'], lowering: 'none' }),
  compile: async (graph) => {
    let state = {};
    return {
      load: async (given) => {
        state = given;
      },
      run: async (feeds) =>
        Object.fromEntries(
          Object.entries(interpret(graph, { ...state, ...feeds })).map(([name, { shape, data }]) => [
            name,
            tensor(data, shape),
          ]),
        ),
      read: async () => ({}),
      memory: { stateBytes: 0 },
      dispose: async () => {},
    };
  },
  dispose: async () => {},
};

describe('knnAccuracy', () => {
  it('counts the right queries, in chunks, whatever the length of the features', async () => {
    const bank = { features: Float32Array.of(10, 0, 0, 0.1, -3, 0), labels: [0, 1, 2] };
    // Directions by angle: nearest to +x, +y or -x. 150 queries pass over one chunk of 128; 15 have a false label.
    const angles = Array.from({ length: 150 }, (_, i) => ((i % 3) * Math.PI) / 2 + 0.1);
    const features = Float32Array.from(angles.flatMap((a) => [Math.cos(a) * 7, Math.sin(a) * 7]));
    const labels = angles.map((_, i) => (i < 15 ? 0 : i % 3));
    // Of the first 15 five are of class 0 in truth: 140 of 150 are right.
    const accuracy = await knnAccuracy(backend, bank, { features, labels }, { dim: 2, classes: 3, k: 1 });
    expect(accuracy).toBeCloseTo((100 * 140) / 150, 10);
  });
});

describe('features that are not finite', () => {
  const bank = { features: Float32Array.of(1, 0, Number.NaN, 1, 0, 2), labels: [0, 0, 1] };
  it('are wrong as queries, and have no vote in the bank', async () => {
    const features = Float32Array.of(Number.NaN, 1, Number.POSITIVE_INFINITY, 0, 2, 1, 1, 2);
    // By the angle the third is of class 0, the fourth of class 1.
    const queries = { features, labels: [0, 0, 0, 1] };
    expect(await knnAccuracy(backend, bank, queries, { dim: 2, classes: 2, k: 1 })).toBe(50);
  });
  it('are no neighbours', async () => {
    const neighbours = await nearestNeighbours(
      backend,
      { features: Float32Array.of(1, 1.5, Number.NaN, 0), dim: 2 },
      { ...bank, dim: 2 },
      3,
    );
    expect(neighbours.map((own) => own.map(({ row }) => row))).toEqual([[2, 0], []]);
  });
});

describe('nearestNeighbours', () => {
  it('are those of a full sort of the cosines, of equal ones the earlier', async () => {
    const [count, dim, k] = [150, 5, 4];
    const random = rng(0, 'neighbours');
    const features = Float32Array.from({ length: count * dim }, random.normal);
    features.copyWithin(140 * dim, 3 * dim, 4 * dim);
    const row = (i: number) => Array.from(features.subarray(i * dim, (i + 1) * dim));
    const cosine = (i: number, j: number) => {
      const dot = row(i).reduce((sum, x, d) => sum + x * row(j)[d]!, 0);
      return dot / (Math.hypot(...row(i)) * Math.hypot(...row(j)));
    };
    const rows = { features, dim };
    const neighbours = await nearestNeighbours(backend, rows, rows, k, (i) => i);
    expect(neighbours).toHaveLength(count);
    for (let i = 0; i < count; i++) {
      const others = Array.from(features.subarray(0, count), (_, j) => j).filter((j) => j !== i);
      const sorted = others.sort((a, b) => cosine(i, b) - cosine(i, a) || a - b).slice(0, k);
      expect(neighbours[i]!.map((neighbour) => neighbour.row)).toEqual(sorted);
      neighbours[i]!.forEach(({ similarity }, n) => {
        expect(similarity).toBeCloseTo(cosine(i, sorted[n]!), 5);
      });
    }
    const query = { features: features.subarray(3 * dim, 4 * dim), dim };
    const [nearest] = await nearestNeighbours(backend, query, rows, 2);
    expect(nearest!.map((neighbour) => neighbour.row)).toEqual([3, 140]);
  });
  it('of nothing, or among nothing, are none', async () => {
    const none = { features: new Float32Array(0), dim: 3 };
    expect(await nearestNeighbours(backend, none, none, 2)).toEqual([]);
  });
});
