/** Which rows of a batch each replica and each micro-batch is fed. */
import type { Tensors } from '../backend.ts';
import type { Graph } from '../graph/graph.ts';
import { type Shape, sameShape, scalar, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { indexName } from './accumulation.ts';

/**
 * Of a feed that has `count` times the rows of an input, the part of a number; any other feed as it is: what all have in common.
 * Data is not copied.
 * @param shape of the graph's input
 * @param index 0 to count - 1
 */
export function partOf(feed: Tensor, shape: Shape, index: number, count: number): Tensor {
  const [rows, ...rest] = shape;
  if (rows === undefined || count === 1 || !sameShape(feed.shape, [count * rows, ...rest])) return feed;
  const size = sizeOf(shape);
  return { shape, dtype: feed.dtype, data: feed.data.subarray(index * size, (index + 1) * size) };
}

/** One of the processes that share a batch. */
export interface Share {
  readonly rank: number;
  /** Of processes; each has the replicas of its backend. */
  readonly size: number;
}

/**
 * The feeds of an update, by micro-batch. What has the rows of the whole batch is cut along its first axis: a replica's rows lie
 * together, and its micro-batches are parts of them. What has those of a process already is cut in the same way; what has N times the
 * rows of an input (orders of the images of all replicas), by micro-batch alone; the rest goes to each. Data is not copied, but for
 * that of several replicas and micro-batches in one process.
 * @param share default: all of it
 */
export function microBatches(
  {
    graph,
    accumulate = 1,
    replicas = 1,
  }: { readonly graph: Graph; readonly accumulate?: number; readonly replicas?: number },
  feeds: Tensors,
  { rank, size }: Share = { rank: 0, size: 1 },
): Tensors[] {
  if (accumulate === 1 && size === 1) return [feeds];
  const types = new Map(graph.inputs.map(({ name, value }) => [name, graph.values[value]!]));
  const local = replicas / size;
  const given = Object.entries(feeds).map(([name, feed]) => {
    const shape = types.get(name)?.shape;
    return [name, shape, shape ? partOf(feed, times(shape, accumulate * local), rank, size) : feed] as const;
  });
  return Array.from({ length: accumulate }, (_, index) => {
    const parts = given.map(([name, shape, feed]) => {
      return [name, shape ? microBatch(feed, shape, index, accumulate, local) : feed] as const;
    });
    return Object.fromEntries(
      accumulate === 1 ? parts : [...parts, [indexName, scalar(index, 'int32')] as const],
    );
  });
}

/** Of a process's feed the rows of a micro-batch, of each of its replicas. */
function microBatch(feed: Tensor, shape: Shape, index: number, count: number, replicas: number): Tensor {
  const stretch = times(shape, count);
  const whole = shape.length > 0 && sameShape(feed.shape, times(stretch, replicas));
  if (replicas === 1 || !whole) return partOf(feed, shape, index, count);
  if (count === 1) return feed;
  const data = feed.data.slice(0, replicas * sizeOf(shape));
  for (let replica = 0; replica < replicas; replica++)
    data.set(
      partOf(partOf(feed, stretch, replica, replicas), shape, index, count).data,
      replica * sizeOf(shape),
    );
  return { shape: times(shape, replicas), dtype: feed.dtype, data } as Tensor;
}

const times = ([rows, ...rest]: Shape, count: number): Shape =>
  rows === undefined ? [] : [count * rows, ...rest];
