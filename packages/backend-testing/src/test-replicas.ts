/** What every backend must do that runs several replicas, at once or each as a program of its own. */
import {
  adamw,
  add,
  allGather,
  allReduce,
  type Backend,
  type Communicator,
  createTrainer,
  type Feed,
  type Graph,
  interpretReplicas,
  isBuffer,
  type MocoConfig,
  type MocoV3Config,
  microBatches,
  mocoState,
  mocoStep,
  mocoV3State,
  mocoV3Step,
  mul,
  type Program,
  type StateSlot,
  scalar,
  simclrState,
  simclrStep,
  sub,
  sum,
  type Tensors,
  tensor,
  trace,
} from '@moco-ts/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ReplicaCase, replicaCases, together } from './cases/collective.ts';
import { expectClose, expectSameBits } from './compare.ts';
import { forwardGraph, gradientGraph, isDifferentiable } from './graphs.ts';
import { note } from './notes.ts';
import type { KitOptions } from './subject.ts';
import {
  byOracle,
  configOf,
  feedsOf,
  learningRate,
  type Played,
  type Setting,
  slack,
} from './test-training.ts';

/** A process of several that compute together, or the only one. */
export interface Member {
  readonly backend: Backend;
  /** Joins it with the others. */
  readonly communicator?: Communicator;
}

export interface ReplicaOptions extends KitOptions {
  /** R: of the members' backends all together. */
  readonly replicas: number;
}

type World = readonly Member[];

/**
 * Registers the suites for R replicas on one backend. To be called at the top of a test file.
 * @param factory called once: one member whose backend runs R replicas, or R members with a communicator; the backends are disposed of
 * at the end
 */
export function testReplicas(factory: () => Promise<World>, options: ReplicaOptions): void {
  const { replicas } = options;
  describe(`${options.name}, ${replicas} replicas`, () => {
    let world: World;
    beforeAll(async () => {
      world = await factory();
    });
    afterAll(async () => {
      for (const { backend } of world ?? []) await backend.dispose();
    });
    describe('ops', () => {
      for (const cases of replicaCases(replicas)) testCase(() => world, cases, options);
    });
    testSharedState(() => world, replicas);
    if (!options.inferenceOnly) testSteps(() => world, options);
  });
}

/** Does the same with all members at once: they wait for each other. */
const onAll = <Each, Result>(each: readonly Each[], act: (each: Each, index: number) => Promise<Result>) =>
  Promise.all(each.map(act));

const compiled = (world: World, graph: Graph, state: readonly StateSlot[] = []) =>
  onAll(world, ({ backend, communicator }) =>
    backend.compile(graph, { state, ...(communicator && { communicator }) }),
  );

/** What a member is fed of the feeds of all replicas. */
const shareOf = (
  graph: Graph,
  replicas: number,
  feeds: Tensors,
  share?: Pick<Communicator, 'rank' | 'size'>,
) => microBatches({ graph, replicas }, feeds, share)[0]!;

/** Each replica's outputs by the oracle. */
function expectedOf(graph: Graph, replicas: number, feeds: Tensors) {
  const ranks = Array.from({ length: replicas }, (_, rank) => ({ rank, size: replicas }));
  return interpretReplicas(
    graph,
    ranks.map((share) => shareOf(graph, replicas, feeds, share)),
  );
}

function testCase(
  subject: () => World,
  cases: ReplicaCase,
  { replicas, tolerance, inferenceOnly }: ReplicaOptions,
): void {
  const { op, name } = cases[0]!;
  const agrees = async (graph: Graph, feeds: Tensors) => {
    const world = subject();
    const programs = await compiled(world, graph);
    try {
      const results = await onAll(programs, (program, i) =>
        program.run(shareOf(graph, replicas, feeds, world[i]!.communicator)),
      );
      const expected = expectedOf(graph, replicas, feeds);
      const errors = results.flatMap((outputs, member) =>
        graph.outputs.map(({ name: output, value }) =>
          expectClose(
            outputs[output],
            expected[(member * replicas) / world.length]![output]!,
            graph.values[value]!,
            `${output} of member ${member}`,
            { tolerance },
          ),
        ),
      );
      return Math.max(...errors);
    } finally {
      await onAll(programs, (program) => program.dispose());
    }
  };
  const title = `${op}: ${name.replace(/ 0$/, '')}`;
  it(title, async ({ task }) => {
    note(task, {
      error: await agrees(forwardGraph(cases[0]!), together(cases.map((own) => own.feeds()))),
      tolerance,
    });
  });
  if (inferenceOnly || !isDifferentiable(cases[0]!)) return;
  it(`${title}: gradient`, async ({ task }) => {
    const [{ graph }, feeds] = [gradientGraph(cases[0]!), cases.map((own) => gradientGraph(own).feeds)];
    note(task, { error: await agrees(graph, together(feeds)), tolerance });
  });
}

/**
 * State that is replaced before an exchange and read behind it, and the other way round: late' = late - sum of x, read with its old
 * value on both sides; early' = early / 2, whose old value is read behind the exchange; rows' = all rows.
 */
function stateGraph(replicas: number): { graph: Graph; state: readonly StateSlot[] } {
  const graph = trace((builder) => {
    const late = builder.input('late', [3]);
    const early = builder.input('early', [3]);
    const fixed = builder.input('fixed', [3]);
    const x = builder.input('x', [2, 3]);
    builder.input('rows', [2 * replicas, 3]);
    const total = allReduce([sum(mul(x, late), [0])], replicas)[0]!;
    return {
      nextLate: sub(late, total),
      nextEarly: mul(early, 0.5),
      rows: allGather(add(x, early), replicas),
      y: add(mul(total, early), mul(late, fixed)),
    };
  });
  const state = [
    { input: 'late', output: 'nextLate' },
    { input: 'early', output: 'nextEarly' },
    { input: 'fixed' },
    { input: 'rows', output: 'rows' },
  ];
  return { graph, state };
}

function testSharedState(subject: () => World, replicas: number): void {
  const { graph, state } = stateGraph(replicas);
  const start = () => ({
    late: tensor([1, 2, 3], [3]),
    early: tensor([4, 8, 16], [3]),
    fixed: tensor([1, 10, 100], [3]),
    rows: tensor(new Float32Array(6 * replicas), [2 * replicas, 3]),
  });
  /** Replica r is fed r + 1 everywhere. */
  const x = tensor(
    Float32Array.from({ length: 6 * replicas }, (_, i) => Math.floor(i / 6) + 1),
    [2 * replicas, 3],
  );
  const runAll = (programs: readonly Program[]) =>
    onAll(programs, (program, i) => program.run(shareOf(graph, replicas, { x }, subject()[i]!.communicator)));

  it('state is replaced on both sides of an exchange, and loaded again', async () => {
    const programs = await compiled(subject(), graph, state);
    // Both rows of all replicas: 2 (1 + 2 + ... + R).
    const total = replicas * (replicas + 1);
    try {
      await onAll(programs, (program) => program.load(start()));
      for (const round of [0, 1]) {
        const [late, early] = [
          [1, 2, 3].map((v) => v * (1 - total) ** round),
          [4, 8, 16].map((v) => v / 2 ** round),
        ];
        for (const { y } of await runAll(programs))
          expect([...y!.data]).toEqual(late.map((v, i) => total * v * early[i]! + v * 10 ** i));
        for (const program of programs) {
          const read = await program.read();
          expect([...read.late!.data]).toEqual(late.map((v) => v * (1 - total)));
          expect([...read.early!.data]).toEqual(early.map((v) => v / 2));
          expect([...read.fixed!.data]).toEqual([1, 10, 100]);
          expect([...read.rows!.data]).toEqual(Array.from(x.data, (v, i) => v + early[i % 3]!));
        }
      }
      await onAll(programs, (program) => program.load(start()));
      for (const { y } of await runAll(programs))
        expect([...y!.data]).toEqual([1, 2, 3].map((v, i) => total * v * 2 ** (i + 2) + v * 10 ** i));
    } finally {
      await onAll(programs, (program) => program.dispose());
    }
  });
}

interface Training {
  readonly name: string;
  played(replicas: number): Played;
}

const small: Setting = { name: 'small', width: 16, batch: 4, splits: 1 };
const moco = (name: string, more: Partial<MocoConfig>): Training => ({
  name,
  played: (replicas) => {
    const config = { ...configOf({ ...small, more }), replicas, queueSize: 32 * replicas };
    const start = mocoState(config, 1);
    return { start, step: mocoStep(config, start), feeds: (i) => feedsOf(config, i) };
  },
});

const trainings: readonly Training[] = [
  moco('v2, each replica normalised by itself', {}),
  moco('v2, shuffled across replicas', { shuffle: true, exposeGradients: true }),
  moco('v2, symmetric, shuffled and split', { shuffle: true, symmetric: true, bnSplits: 2 }),
  moco('v2, normalised together', { bnSync: true }),
  moco('v2, normalised together, activations computed again', { bnSync: true, checkpointActivations: true }),
  moco('v2, two micro-batches', { accumulate: 2, shuffle: true }),
  {
    name: 'v3, normalised together',
    played: (replicas) => {
      const { queueSize: _, ...shared } = configOf(small);
      const config: MocoV3Config = {
        ...{ ...shared, replicas, bnSync: true, hidden: 16, optimizer: adamw({ weightDecay: 0.1 }) },
        ...{ projectorLayers: 2, predictorLayers: 2, predictorNorm: true },
      };
      const start = mocoV3State(config, 1);
      const feeds = (i: number) => ({ ...feedsOf({ ...config, shuffle: false }, i), momentum: scalar(0.9) });
      return { start, step: mocoV3Step(config, start), feeds };
    },
  },
  {
    name: 'SimCLR, normalised together',
    played: (replicas) => {
      const config = { ...configOf(small), replicas, bnSync: true };
      const start = simclrState(config, 1);
      return { start, step: simclrStep(config, start), feeds: (i) => feedsOf(config, i) };
    },
  },
];

function testSteps(subject: () => World, { replicas, tolerance }: ReplicaOptions): void {
  const trainersOf = ({ step, start }: Played) =>
    onAll(subject(), ({ backend, communicator }) =>
      createTrainer(backend, step, start, { ...(communicator && { communicator }) }),
    );

  describe('a training step', () => {
    it.for(trainings)('$name', async ({ played }, { task }) => {
      const run = played(replicas);
      const trainers = await trainersOf(run);
      let worst = 0;
      const compare = (values: Tensors, expected: Readonly<Record<string, Feed>>, when: string) => {
        for (const [name, value] of Object.entries(expected)) {
          // A running mean behind a normalisation is about 0, and only rounding: it is measured by a deviation of 1.
          const closeness = { tolerance: slack * tolerance, scale: isBuffer(name) ? 1 : 0 };
          const actual = values[name];
          worst = Math.max(worst, expectClose(actual, value, actual!, `${name} ${when}`, closeness));
        }
      };
      try {
        let count = 0;
        for (const expected of byOracle(run)) {
          const metrics = await onAll(trainers, (trainer) =>
            trainer.step(run.feeds(count), learningRate, count),
          );
          for (const own of metrics) expectSameBits(own, metrics[0]!);
          const shown = run.step.metrics.map((name) => [name, expected.metrics[name]!]);
          compare(metrics[0]!, Object.fromEntries(shown), `of step ${count}`);
          const states = await onAll(trainers, (trainer) => trainer.state());
          for (const own of states) expectSameBits(own, states[0]!);
          compare(states[0]!, expected.state, `after step ${count}`);
          count++;
        }
        note(task, { error: worst, tolerance });
      } finally {
        await onAll(trainers, (trainer) => trainer.dispose());
      }
    });

    it('gives the same bits twice', async () => {
      const run = trainings[1]!.played(replicas);
      const once = async () => {
        const trainers = await trainersOf(run);
        try {
          for (const i of [0, 1, 2])
            await onAll(trainers, (trainer) => trainer.step(run.feeds(i), learningRate, i));
          return await trainers[0]!.state();
        } finally {
          await onAll(trainers, (trainer) => trainer.dispose());
        }
      };
      expectSameBits(await once(), await once());
    });
  });
}
