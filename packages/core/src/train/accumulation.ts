/**
 * Gradient accumulation: an update from several micro-batches, which go through one program one after the other. It needs the
 * memory of a micro-batch (its images aside, of which those of all are given at once where runs overlap), and is the update of the
 * whole batch but for batch normalisation, whose statistics are a micro-batch's.
 */
import type { Tensors } from '../backend.ts';
import type { Graph } from '../graph/graph.ts';
import { add, cast, equal, mul, select } from '../graph/ops/elementwise.ts';
import { updateSlice } from '../graph/ops/index-ops.ts';
import type { GraphBuilder, Traced } from '../graph/trace.ts';
import {
  filled,
  type HostDType,
  type HostType,
  type Shape,
  sameShape,
  scalar,
  sizeOf,
  type Tensor,
  tensor,
} from '../tensor/tensor.ts';

/** The feed that tells a step which micro-batch of the update it is given. */
const indexName = 'accumulate.index';

/** The part of a step's graph that outlives a micro-batch. */
export class Accumulation {
  readonly count: number;
  /** What one micro-batch leaves to the next. The first one begins anew, so that nothing is left between updates. */
  readonly state: Record<string, HostType> = {};
  private readonly builder: GraphBuilder;
  private readonly index: Traced;
  private readonly first: Traced;
  private readonly last: Traced;

  constructor(builder: GraphBuilder, count: number) {
    this.count = count;
    this.builder = builder;
    this.index = cast(builder.input(indexName, [], 'int32'), 'float32');
    this.first = equal(this.index, 0);
    this.last = equal(this.index, count - 1);
  }

  /** A state's value by the update: chosen, not weighted, so that before the last micro-batch it keeps every bit. */
  once(before: Traced, after: Traced): Traced {
    return select(this.last, after, before);
  }

  /** The mean of a value over the micro-batches; right from the last one on. */
  mean(name: string, value: Traced): Traced {
    const sum = this.pending(`sum.${name}`, value.shape, 'float32', (before) =>
      // Chosen too: a sum that a failed update left may not be finite.
      select(this.first, value, add(before, value)),
    );
    return mul(sum, 1 / this.count);
  }

  /** The rows of all micro-batches, [M, ...] to [N M, ...]; complete from the last one on. */
  rows(name: string, rows: Traced): Traced {
    const [count, ...rest] = rows.shape as [number, ...number[]];
    const at = cast(mul(this.index, count), 'int32');
    return this.pending(`rows.${name}`, [count * this.count, ...rest], rows.dtype as HostDType, (before) =>
      updateSlice(before, rows, at, 0),
    );
  }

  private pending(name: string, shape: Shape, dtype: HostDType, next: (before: Traced) => Traced): Traced {
    const input = `accumulate.${name}`;
    const before = this.builder.input(input, shape, dtype);
    this.state[input] = { shape, dtype };
    const after = next(before);
    this.builder.output(`next.${input}`, after);
    return after;
  }
}

/** What micro-batches leave to each other, before the first one. */
export function pendingState({
  pending = {},
}: {
  readonly pending?: Readonly<Record<string, HostType>>;
}): Record<string, Tensor> {
  const zeros = Object.entries(pending).map(([name, { shape, dtype }]) => [name, filled(shape, 0, dtype)]);
  return Object.fromEntries(zeros);
}

/**
 * The feeds of an update, by micro-batch: what has the rows of all of them is cut along its first axis, the rest goes to each.
 * Data is not copied.
 */
export function microBatches(
  { graph, accumulate = 1 }: { readonly graph: Graph; readonly accumulate?: number },
  feeds: Tensors,
): Tensors[] {
  if (accumulate === 1) return [feeds];
  const types = new Map(graph.inputs.map(({ name, value }) => [name, graph.values[value]!]));
  return Array.from({ length: accumulate }, (_, index) => {
    const parts = Object.entries(feeds).map(([name, feed]) => {
      const type = types.get(name);
      return [name, type ? partOf(feed, type.shape, index, accumulate) : feed] as const;
    });
    return Object.fromEntries([...parts, [indexName, scalar(index, 'int32')]]);
  });
}

function partOf(feed: Tensor, shape: Shape, index: number, count: number): Tensor {
  const [rows, ...rest] = shape;
  if (rows === undefined || !sameShape(feed.shape, [count * rows, ...rest])) return feed;
  const size = sizeOf(shape);
  return { shape, dtype: feed.dtype, data: feed.data.subarray(index * size, (index + 1) * size) };
}

/** The metrics of an update, by those of its micro-batches: their mean, by element; of gradients the last, which is the mean. */
export function updateMetrics(results: readonly Tensors[]): Record<string, Tensor> {
  const last = results.at(-1)!;
  const metrics = Object.entries(last).map(([name, metric]) => {
    if (results.length === 1 || name.startsWith('grad.')) return [name, metric] as const;
    const means = Array.from(metric.data, (_, at) => {
      const sum = results.reduce((total, result) => total + result[name]!.data[at]!, 0);
      return sum / results.length;
    });
    return [name, tensor(means, metric.shape)] as const;
  });
  return Object.fromEntries(metrics);
}
