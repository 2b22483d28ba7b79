/**
 * Ops between replicas: R programs of one graph, each with a part of the batch, that meet at these ops in the graph's order. Their
 * gradients are those of the sum of all replicas' losses.
 */
import { ShapeError } from '../../errors.ts';
import { filled, tensor } from '../../tensor/tensor.ts';
import type { Attributes } from '../graph.ts';
import { defineOp } from '../op.ts';
import type { GraphBuilder, Traced } from '../trace.ts';
import { add, cast, equal, mul, select } from './elementwise.ts';
import { gather } from './index-ops.ts';

/** The ops at which replicas meet. */
export const collectives: ReadonlySet<string> = new Set(['allReduce', 'allGather']);

/** The ops that a replica alone doesn't know the results of. */
export const acrossReplicas: ReadonlySet<string> = new Set([...collectives, 'replicaIndex']);

/** R of a node. @throws ShapeError unless it is a positive integer */
function replicasOf({ replicas }: Attributes): number {
  if (typeof replicas === 'number' && Number.isInteger(replicas) && replicas >= 1) return replicas;
  throw new ShapeError(`the number of replicas is ${String(replicas)}, no positive integer`);
}

defineOp({
  name: 'allReduce',
  infer: (values, attrs) => {
    replicasOf(attrs);
    for (const { dtype } of values)
      if (dtype !== 'float32') throw new ShapeError(`sums between replicas are float32, got ${dtype}`);
    return values.map(({ shape, dtype }) => ({ shape, dtype }));
  },
  grad: ({ dOutputs, inputs, attrs, needs }) => {
    const asked = inputs.map((input, i) => {
      if (!needs[i]) return undefined;
      return dOutputs[i] ?? input.builder.constant(filled(input.shape, 0));
    });
    const summed = allReduce(
      asked.filter((derivative) => derivative !== undefined),
      replicasOf(attrs),
    )[Symbol.iterator]();
    return asked.map((derivative) => derivative && summed.next().value);
  },
});
/**
 * Sums over the replicas, all values in one exchange.
 * @param values float32, of any shapes
 * @param replicas R
 * @returns the sums, the same bits on each replica
 */
export function allReduce(values: readonly Traced[], replicas: number): Traced[] {
  return values.length === 0 ? [] : values[0]!.builder.emit('allReduce', values, { replicas });
}

defineOp({
  name: 'allGather',
  infer: ([x], attrs) => {
    const [rows, ...rest] = x!.shape;
    if (rows === undefined) throw new ShapeError('a scalar has no rows to gather');
    return [{ shape: [rows * replicasOf(attrs), ...rest], dtype: x!.dtype }];
  },
  grad: ({ dOutputs, inputs: [x], attrs }) => {
    const replicas = replicasOf(attrs);
    return [ownRows(allReduce([dOutputs[0]!], replicas)[0]!, replicas, x!.shape[0]!)];
  },
});
/**
 * The rows of all replicas, in their order.
 * @param x [N, ...], of any type
 * @param replicas R
 * @returns [R N, ...]
 */
export function allGather(x: Traced, replicas: number): Traced {
  return x.builder.emit('allGather', [x], { replicas })[0]!;
}

defineOp({
  name: 'replicaIndex',
  infer: (_, attrs) => {
    replicasOf(attrs);
    return [{ shape: [], dtype: 'int32' }];
  },
  gradient: 'none',
});
/** The number of the replica that computes, 0 to R - 1: int32, a scalar. */
export function replicaIndex(builder: GraphBuilder, replicas: number): Traced {
  return builder.emit('replicaIndex', [], { replicas })[0]!;
}

/**
 * This replica's rows of what {@link allGather} gives, or of what all have in common.
 * @param x [R N, ...]
 * @param count N
 */
export function ownRows(x: Traced, replicas: number, count = x.shape[0]! / replicas): Traced {
  const { builder } = x;
  const first = firstOwnRow(builder, replicas, count);
  const offsets = builder.constant(
    tensor(
      Float32Array.from({ length: count }, (_, row) => row),
      [count],
    ),
  );
  return gather(x, cast(add(offsets, first), 'int32'));
}

/** The place of this replica's first row among those of all: float32, a scalar. @param count rows of each */
export function firstOwnRow(builder: GraphBuilder, replicas: number, count: number): Traced {
  return mul(cast(replicaIndex(builder, replicas), 'float32'), count);
}

/**
 * Replica 0's values on all replicas, in one exchange. Chosen, not weighted: what isn't finite elsewhere doesn't matter.
 * @param values float32, of any shapes
 */
export function ofFirstReplica(values: readonly Traced[], replicas: number): Traced[] {
  return allReduce(
    values.map((value) => fromFirst(value, replicas)),
    replicas,
  );
}

/** A value where it is replica 0 that computes, elsewhere zeros: its sum over the replicas is replica 0's. */
export function fromFirst(value: Traced, replicas: number): Traced {
  const first = equal(cast(replicaIndex(value.builder, replicas), 'float32'), 0);
  return select(first, value, 0);
}
