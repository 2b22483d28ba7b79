/** Cosine similarity of many vectors to many others. */
import type { Backend } from '../backend.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { trace } from '../graph/trace.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Vectors in rows. */
export interface Rows {
  /** [M, dim]; need not be normalised. */
  readonly features: Float32Array;
  readonly dim: number;
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
 * The indices of the k largest values, by a heap whose root is the smallest kept. Of equal values the earlier is kept; NaN
 * is less than any.
 * @returns at most values.length indices, in no order
 */
export function topK(values: Float32Array, k: number): Int32Array {
  const size = Math.min(k, values.length);
  const heap = new Int32Array(size);
  const value = (index: number) => {
    const raw = values[index]!;
    return Number.isNaN(raw) ? Number.NEGATIVE_INFINITY : raw;
  };
  const below = (a: number, b: number) => value(a) < value(b) || (value(a) === value(b) && a > b);
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
  for (let i = size; i < values.length; i++) if (values[i]! > value(heap[0]!)) sink(0, i);
  return heap;
}

/** Queries that one product takes. */
const chunkRows = 128;
/** Similarities that one product may give, so that memory does not grow with both sides. */
const chunkValues = 2 ** 24;

/**
 * The similarities of each query to all rows of the bank, computed by the backend and given one query at a time, in order.
 * @param row called with the query's number and its cosines [rows of the bank], which are valid during the call alone
 */
export async function eachSimilarity(
  backend: Backend,
  queries: Rows,
  bank: Rows,
  row: (query: number, similarity: Float32Array) => void,
): Promise<void> {
  const { dim } = bank;
  const count = queries.features.length / dim;
  const rows = bank.features.length / dim;
  if (count === 0 || rows === 0) return;
  const chunk = Math.max(1, Math.min(chunkRows, Math.floor(chunkValues / rows)));
  const graph = trace((builder) => {
    const a = builder.input('queries', [chunk, dim]);
    const b = builder.input('bank', [rows, dim]);
    return { similarity: matmul(a, b, { transposeB: true }) };
  });
  const program = await backend.compile(graph, { state: [{ input: 'bank' }] });
  try {
    await program.load({ bank: matrix(unitRows(bank.features, dim), dim) });
    for (let at = 0; at < count; at += chunk) {
      const part = queries.features.subarray(at * dim, (at + chunk) * dim);
      const padded = new Float32Array(chunk * dim);
      padded.set(unitRows(part, dim));
      const { similarity } = await program.run({ queries: matrix(padded, dim) });
      for (let i = 0; i < Math.min(chunk, count - at); i++)
        row(at + i, (similarity!.data as Float32Array).subarray(i * rows, (i + 1) * rows));
    }
  } finally {
    await program.dispose();
  }
}

export interface Neighbour {
  /** A row of the bank. */
  readonly row: number;
  /** Cosine, in [-1, 1]. */
  readonly similarity: number;
}

/**
 * The k rows of the bank that are nearest to each query, the nearest first; of equally near ones the earlier. Rows whose
 * similarity is not finite are never found.
 * @param except rows that a query must not find, such as itself
 */
export async function nearestNeighbours(
  backend: Backend,
  queries: Rows,
  bank: Rows,
  k: number,
  except: (query: number) => number | undefined = () => undefined,
): Promise<Neighbour[][]> {
  const lists: Neighbour[][] = [];
  await eachSimilarity(backend, queries, bank, (query, similarity) => {
    const own = except(query);
    const most = k + (own === undefined ? 0 : 1);
    const nearest = [...topK(similarity, most)].sort((a, b) => similarity[b]! - similarity[a]! || a - b);
    lists.push(
      nearest
        .filter((row) => row !== own && Number.isFinite(similarity[row]))
        .slice(0, k)
        .map((row) => ({ row, similarity: similarity[row]! })),
    );
  });
  return lists;
}

function matrix(data: Float32Array, columns: number): Tensor {
  return { shape: [data.length / columns, columns], dtype: 'float32', data };
}
