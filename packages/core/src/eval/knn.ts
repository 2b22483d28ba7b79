/** Weighted k-nearest-neighbour classification of features (InstDisc, arXiv 1805.01978, section 3.4). */
import type { Backend } from '../backend.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { trace } from '../graph/trace.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Features in rows, with a label for each. */
export interface LabelledFeatures {
  /** [M, dim]; need not be normalised. */
  readonly features: Float32Array;
  readonly labels: ArrayLike<number>;
}

export interface KnnOptions {
  readonly dim: number;
  readonly classes: number;
  /** Neighbours that vote; default 200. */
  readonly k?: number;
  /** The temperature T of the votes exp(similarity / T); default 0.1. */
  readonly temperature?: number;
}

/** Scales rows to unit length, into a new array. Rows of zeros stay zero. */
export function unitRows(features: Float32Array, dim: number): Float32Array {
  const out = new Float32Array(features.length);
  for (let at = 0; at < features.length; at += dim) {
    let square = 0;
    for (let d = 0; d < dim; d++) square += features[at + d]! ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let d = 0; d < dim; d++) out[at + d] = features[at + d]! * scale;
  }
  return out;
}

/**
 * The indices of the k largest values, by a heap whose root is the smallest kept. Of equal values the earlier is kept.
 * @returns at most values.length indices, in no order
 */
export function topK(values: Float32Array, k: number): Int32Array {
  const size = Math.min(k, values.length);
  const heap = new Int32Array(size);
  const below = (a: number, b: number) => values[a]! < values[b]! || (values[a] === values[b] && a > b);
  const sink = (from: number, index: number) => {
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && below(heap[child + 1]!, heap[child]!)) child++;
      if (!below(heap[child]!, index)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = index;
  };
  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i, heap[i]!);
  for (let i = size; i < values.length; i++) if (values[i]! > values[heap[0]!]!) sink(0, i);
  return heap;
}

/**
 * The class that the neighbours of one query vote for.
 * @param similarity cosine to each row of the bank
 */
export function knnVote(
  similarity: Float32Array,
  labels: ArrayLike<number>,
  { classes, k = 200, temperature = 0.1 }: KnnOptions,
): number {
  const votes = new Float64Array(classes);
  for (const neighbour of topK(similarity, k))
    votes[labels[neighbour]!]! += Math.exp(similarity[neighbour]! / temperature);
  let best = 0;
  for (let c = 1; c < classes; c++) if (votes[c]! > votes[best]!) best = c;
  return best;
}

const chunkRows = 128;

/**
 * The share of queries, in percent, whose class the votes name. Similarities are computed by the backend.
 */
export async function knnAccuracy(
  backend: Backend,
  bank: LabelledFeatures,
  queries: LabelledFeatures,
  options: KnnOptions,
): Promise<number> {
  const { dim } = options;
  const count = queries.features.length / dim;
  const rows = bank.features.length / dim;
  const graph = trace((builder) => {
    const a = builder.input('queries', [chunkRows, dim]);
    const b = builder.input('bank', [rows, dim]);
    return { similarity: matmul(a, b, { transposeB: true }) };
  });
  const program = await backend.compile(graph, { state: [{ input: 'bank' }] });
  try {
    await program.load({ bank: matrix(unitRows(bank.features, dim), dim) });
    const normal = unitRows(queries.features, dim);
    let right = 0;
    for (let at = 0; at < count; at += chunkRows) {
      const chunk = new Float32Array(chunkRows * dim);
      chunk.set(normal.subarray(at * dim, (at + chunkRows) * dim));
      const { similarity } = await program.run({ queries: matrix(chunk, dim) });
      for (let i = 0; i < Math.min(chunkRows, count - at); i++) {
        const row = (similarity!.data as Float32Array).subarray(i * rows, (i + 1) * rows);
        if (knnVote(row, bank.labels, options) === queries.labels[at + i]) right++;
      }
    }
    return (100 * right) / count;
  } finally {
    await program.dispose();
  }
}

function matrix(data: Float32Array, columns: number): Tensor {
  return { shape: [data.length / columns, columns], dtype: 'float32', data };
}
