/**
 * Gradient accumulation: an update from several micro-batches, which go through one program one after the other. It needs the
 * memory of a micro-batch (its images aside, of which those of all are given at once where runs overlap), and is the update of the
 * whole batch but for batch normalisation, whose statistics are a micro-batch's.
 */
import type { Tensors } from '../backend.ts';
import { add, cast, equal, mul, select } from '../graph/ops/elementwise.ts';
import { updateSlice } from '../graph/ops/index-ops.ts';
import { reshape } from '../graph/ops/shape.ts';
import type { GraphBuilder, Traced } from '../graph/trace.ts';
import { filled, type HostDType, type HostType, type Shape, type Tensor, tensor } from '../tensor/tensor.ts';

/** The feed that tells a step which micro-batch of the update it is given. */
export const indexName = 'accumulate.index';

/** The part of a step's graph that outlives a micro-batch. */
export class Accumulation {
  readonly count: number;
  /** What one micro-batch leaves to the next. The first one begins anew, so that nothing is left between updates. */
  readonly state: Record<string, HostType> = {};
  private readonly builder: GraphBuilder;
  private readonly replicas: number;
  private readonly index: Traced;
  private readonly first: Traced;
  private readonly last: Traced;

  constructor(builder: GraphBuilder, count: number, replicas = 1) {
    this.count = count;
    this.replicas = replicas;
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

  /** The rows of all micro-batches, of all replicas, [R M, ...] to [R N M, ...]; complete from the last one on. */
  rows(name: string, rows: Traced): Traced {
    const { replicas } = this;
    const [all, ...rest] = rows.shape as [number, ...number[]];
    const count = all / replicas;
    const at = cast(mul(this.index, count), 'int32');
    // A replica's images lie together in the batch, and its micro-batches are parts of them.
    const [lead, axis] = replicas === 1 ? [[], 0] : [[replicas], 1];
    const shaped = replicas === 1 ? rows : reshape(rows, [replicas, count, ...rest]);
    const complete = this.pending(
      `rows.${name}`,
      [...lead, count * this.count, ...rest],
      rows.dtype as HostDType,
      (before) => updateSlice(before, shaped, at, axis),
    );
    return replicas === 1 ? complete : reshape(complete, [all * this.count, ...rest]);
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
