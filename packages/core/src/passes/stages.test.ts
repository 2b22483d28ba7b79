import { describe, expect, it } from 'vitest';
import { gradients } from '../grad.ts';
import type { Graph } from '../graph/graph.ts';
import { allGather, allReduce, fromFirst, ownRows, replicaIndex } from '../graph/ops/collective.ts';
import { add, cast, mul, stopGradient, sub } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { sum } from '../graph/ops/reduce.ts';
import { trace } from '../graph/trace.ts';
import { type Feed, interpret, interpretReplicas } from '../reference/interpreter.ts';
import { rng } from '../rng.ts';
import { tensor } from '../tensor/tensor.ts';
import { optimize } from './passes.ts';
import { asReplica, cutAtCollectives, expectReplicas, type Stage } from './stages.ts';

const R = 3;

/**
 * A step as methods make them: keys of an averaged encoder from shuffled rows, a loss between replicas, a summed gradient, a
 * gathered queue, statistics of the first replica; `idle` is read by nobody.
 */
const step = optimize(
  trace((builder) => {
    const [w, k] = [builder.input('w', [2, 2]), builder.input('k', [2, 2])];
    const queue = builder.input('queue', [6, 2]);
    const mean = builder.input('mean', [2]);
    const [x, y] = [builder.input('x', [2, 2]), builder.input('y', [2, 2])];
    builder.input('idle', []);
    const averaged = add(mul(k, 0.75), mul(w, 0.25));
    const images = ownRows(allGather(y, R), R);
    const keys = allGather(matmul(images, averaged), R);
    const queries = matmul(x, w);
    const loss = sum(mul(queries, add(stopGradient(ownRows(keys, R)), sum(queue, [0]))), [0, 1]);
    const gradient = gradients(loss, [w])[0]!;
    const own = [mul(gradient, 1 / R), mul(loss, 1 / R), fromFirst(add(mean, sum(x, [0])), R)];
    const [summed, average, statistics] = allReduce(own, R) as [typeof w, typeof w, typeof w];
    return {
      loss: average,
      index: add(cast(replicaIndex(builder, R), 'float32'), 0.5),
      'next.w': sub(w, mul(summed, 0.1)),
      'next.k': averaged,
      'next.queue': add(keys, mul(queue, 0.5)),
      'next.mean': statistics,
    };
  }),
);

/** Runs the stages of all replicas by the oracle, what comes between them by hand. */
function byStages(parts: readonly Stage[][], feeds: readonly Record<string, Feed>[]) {
  const known = feeds.map(() => new Map<number, Feed>());
  const results = feeds.map((): Record<string, Feed> => ({}));
  for (let at = 0; at < parts[0]!.length; at++) {
    const outputs = parts.map((stages, rank) => {
      const { graph } = stages[at]!;
      const given = graph.inputs.map(({ name, value }) => [
        name,
        feeds[rank]![name] ?? known[rank]!.get(value)!,
      ]);
      const out = interpret(graph, Object.fromEntries(given));
      for (const { name, value } of graph.outputs) {
        if (!name.startsWith('into.')) known[rank]!.set(value, out[name]!);
        results[rank]![name] = out[name]!;
      }
      return out;
    });
    const { graph, sums, gathers } = parts[0]![at]!;
    for (const {
      from: { name: from },
      to: { value },
    } of sums) {
      const { shape } = graph.values[value]!;
      const total = outputs[0]![from]!.data.map((_, i) =>
        outputs.reduce((all, out) => all + out[from]!.data[i]!, 0),
      );
      for (const values of known) values.set(value, { shape, data: total });
    }
    for (const {
      from: { name: from },
      to: { value },
    } of gathers) {
      const { shape } = graph.values[value]!;
      const data = outputs.flatMap((out) => [...out[from]!.data]);
      for (const values of known) values.set(value, { shape, data });
    }
  }
  return results;
}

const random = rng(0, 'stages');
const drawn = (shape: number[]) => ({
  shape,
  data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
});
const state = { w: drawn([2, 2]), k: drawn([2, 2]), queue: drawn([6, 2]), mean: drawn([2]), idle: drawn([]) };
const feeds = Array.from({ length: R }, () => ({ ...state, x: drawn([2, 2]), y: drawn([2, 2]) }));
const opsOf = ({ graph }: Stage) => graph.nodes.map(({ op }) => op);
const outputsOf = ({ graph }: Stage) => graph.outputs.map(({ name }) => name);

describe('a graph cut at its collectives', () => {
  const parts = feeds.map((_, rank) => cutAtCollectives(step, rank));
  const stages = parts[0]!;

  it('computes what the oracle of its replicas does', () => {
    const actual = byStages(parts, feeds);
    interpretReplicas(step, feeds).forEach((expected, rank) => {
      for (const [name, { data }] of Object.entries(expected))
        data.forEach((value, i) => {
          expect(actual[rank]![name]!.data[i], `${name} of replica ${rank}`).toBeCloseTo(value, 10);
        });
    });
  });

  it('has the fewest stages, with what is exchanged behind each', () => {
    expect(stages.map(({ sums, gathers }) => [sums.length, gathers.length])).toEqual([
      [0, 1],
      [0, 1],
      [3, 0],
      [0, 0],
    ]);
  });

  it('has each node once, in the order of the graph, in the last stage that it can be in', () => {
    const computing = stages.map(({ graph }) => graph.nodes.filter(({ op }) => op !== 'constant'));
    expect(new Set(computing.flat()).size).toBe(computing.flat().length);
    const { nodes } = asReplica(step, 0);
    const other = nodes.filter(({ op }) => !['constant', 'allReduce', 'allGather'].includes(op));
    const outputs = (list: readonly { outputs: readonly number[] }[]) => list.map((node) => node.outputs[0]);
    expect(outputs(computing.flat()).sort()).toEqual(outputs(other).sort());
    for (const part of computing)
      expect(outputs(part)).toEqual(outputs(nodes).filter((id) => outputs(part).includes(id)));
    // The images are gathered as they come; queries wait for the keys, and the queue for what else is updated.
    expect(opsOf(stages[0]!)).toEqual([]);
    expect(opsOf(stages[1]!).filter((op) => op === 'matmul')).toHaveLength(1);
    expect(outputsOf(stages[1]!)).toContain('next.k');
    expect(opsOf(stages[2]!).filter((op) => op === 'matmul')).toHaveLength(2);
    expect(outputsOf(stages[3]!).sort()).toEqual(['index', 'loss', 'next.mean', 'next.queue', 'next.w']);
    expect(opsOf(stages[3]!)).not.toContain('matmul');
  });

  it('carries what is read later alone, and no input', () => {
    const carried = stages.map((stage) => stage.carried);
    expect(carried).toEqual([[], [], [], []]);
    const late = trace((builder) => {
      const x = builder.input('x', [2]);
      const twice = mul(x, 2);
      return { y: add(add(allReduce([twice], 2)[0]!, twice), x) };
    });
    const [first, last] = cutAtCollectives(late, 0) as [Stage, Stage];
    expect(outputsOf(first)).toEqual(['into.3', 'value.2']);
    expect(last.graph.inputs.map(({ name }) => name)).toEqual(['x', 'value.3', 'value.2']);
    expect(opsOf(last)).toEqual(['add', 'add']);
  });

  it('is one stage without any, the same graph', () => {
    const graph: Graph = trace((builder) => ({ y: mul(builder.input('x', [2]), 2) }));
    expect(cutAtCollectives(graph, 0)).toEqual([{ graph, carried: [], sums: [], gathers: [] }]);
    expect(cutAtCollectives(graph, 0)[0]!.graph).toBe(graph);
  });

  it('knows its replica by a constant', () => {
    const graph = trace((builder) => ({ y: mul(cast(replicaIndex(builder, 4), 'float32'), 10) }));
    const [stage] = cutAtCollectives(graph, 3);
    expect(opsOf(stage!)).toEqual(['constant']);
    expect(interpret(stage!.graph, {}).y!.data).toEqual(Float64Array.of(30));
  });
});

it('a graph of several replicas asks for a communicator of as many', () => {
  const graph = trace((builder) => ({ y: allReduce([builder.input('x', [2])], 4)[0]! }));
  const communicator = { rank: 0, size: 2, allReduce: async () => {}, allGather: async () => {} };
  expect(() => expectReplicas(graph, undefined)).toThrow(/of 4 replicas, which nothing joins here/);
  expect(() => expectReplicas(graph, communicator)).toThrow(/of 4 replicas, and 2 are joined/);
  expect(() => expectReplicas(graph, { ...communicator, size: 4 })).not.toThrow();
  const alone = trace((builder) => ({ y: mul(builder.constant(tensor([1], [1])), 2) }));
  expect(() => expectReplicas(alone, undefined)).not.toThrow();
});
