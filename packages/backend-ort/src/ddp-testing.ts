/** What the tests of several replicas share: PyTorch's DistributedDataParallel on 2 and 4 ranks, by parity/ddp.py. */
import { readdirSync, readFileSync } from 'node:fs';
import {
  type Backend,
  createTrainer,
  type Feed,
  interpretReplicas,
  isBuffer,
  microBatches,
  stepScalars,
  type TrainerOptions,
  type TrainingStep,
  under,
} from '@moco-ts/core';
import { relative, sample } from './parity-testing.ts';
import {
  type Fact,
  type Method,
  methodOf,
  type StepsCase,
  stateBounds,
  stateError,
} from './steps-testing.ts';

export interface DdpCase extends StepsCase {
  readonly spec: StepsCase['spec'] & { readonly replicas: number };
  readonly steps: number;
  /** Elements of a sample. */
  readonly sample: number;
  /** By rank: the running statistics that its own images give in step 0. */
  readonly ranks: readonly Readonly<Record<string, Fact>>[];
}

const folder = new URL('../../../parity/fixtures/', import.meta.url);

/** By name, as `v2-sync-4`. */
export const ddpCases: Readonly<Record<string, DdpCase>> = Object.fromEntries(
  readdirSync(folder)
    .filter((file) => /^ddp-.*\.json$/.test(file))
    .sort()
    .map((file) => [file.slice(4, -5), JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as DdpCase]),
);

export interface DdpResult {
  readonly losses: readonly number[];
  /** `grad.<name>`, of step 0. */
  readonly gradients: Readonly<Record<string, Feed>>;
  readonly state: Readonly<Record<string, Feed>>;
}

/** The steps of a case on a backend; as one of its replicas with a communicator, else all of them. */
export async function ddpOnBackend(
  backend: Backend,
  name: string,
  options: TrainerOptions = {},
): Promise<DdpResult> {
  const given = ddpCases[name]!;
  const method = methodOf(given);
  const trainer = await createTrainer(backend, method.step(true, method.state), method.state, options);
  try {
    const losses: number[] = [];
    let gradients: DdpResult['gradients'] = {};
    for (let i = 0; i < given.steps; i++) {
      const metrics = await trainer.step(method.feeds(i), given.spec.lr, i);
      losses.push(metrics.loss!.data[0]!);
      if (i === 0) gradients = metrics;
    }
    return { losses, gradients, state: await trainer.state() };
  } finally {
    await trainer.dispose();
  }
}

/**
 * The first steps of a case by definition in float64: the losses, and of step 0 the gradients and the running statistics of each
 * replica's own images, of which replica 0's are kept.
 */
export function ddpOnOracle(
  name: string,
  steps: number,
): Pick<DdpResult, 'losses' | 'gradients'> & { readonly own: readonly Readonly<Record<string, Feed>>[] } {
  const given = ddpCases[name]!;
  const { lr, replicas } = given.spec;
  const method = methodOf(given);
  const step = withOwn(method.step(true, method.state));
  const losses: number[] = [];
  let first: Record<string, Feed>[] = [];
  let states: Record<string, Feed>[] = Array.from({ length: replicas }, () => method.state);
  for (let i = 0; i < steps; i++) {
    const scalars = Object.entries(stepScalars(step, lr, i));
    const fed = Object.fromEntries(scalars.map(([key, value]) => [key, { shape: [], data: [value] }]));
    const feeds = states.map((state, rank) => {
      return { ...state, ...fed, ...microBatches(step, method.feeds(i), { rank, size: replicas })[0] };
    });
    const results = interpretReplicas(step.graph, feeds);
    states = results.map((outputs, rank) =>
      Object.fromEntries(
        step.state.map(({ input, output }) => [input, output ? outputs[output]! : states[rank]![input]!]),
      ),
    );
    losses.push(results[0]!.loss!.data[0]!);
    if (i === 0) first = results;
  }
  return { losses, gradients: first[0]!, own: first.map((outputs) => under('own', outputs)) };
}

/** A step that also gives, as `own.<name>`, the running statistics before replica 0's take their place on all replicas. */
function withOwn(step: TrainingStep): TrainingStep {
  const { graph } = step;
  const maker = (value: number) => graph.nodes.find(({ outputs }) => outputs.includes(value))!;
  const own = step.state.flatMap(({ input, output }) => {
    if (!isBuffer(input)) return [];
    const sum = graph.outputs.find(({ name }) => name === output)!.value;
    const { inputs, outputs } = maker(sum);
    // The sum over the replicas of select(first, own, 0).
    return [{ name: `own.${input}`, value: maker(inputs[outputs.indexOf(sum)]!).inputs[1]! }];
  });
  return { ...step, graph: { ...graph, outputs: [...graph.outputs, ...own] } };
}

/** How near a result must be to PyTorch's in float64, relatively. */
export interface DdpBounds {
  readonly loss: (step: number) => number;
  readonly gradient: number;
  readonly state: (name: string) => number;
}

/** Those of a run in float32: as near as PyTorch's own float32 is, times two or three. */
export function float32Bounds({ drift, gradients, state }: DdpCase): DdpBounds {
  return {
    loss: (step) => (step === 0 ? 1e-5 : Math.max(1e-3, 3 * Math.max(...drift))),
    gradient: 2 * Math.max(...Object.values(gradients).map(({ f32 }) => f32)),
    state: stateBounds(state, 1e-3),
  };
}

/**
 * What is further from PyTorch than the bounds, one line each; none where all is right. Without state, which is PyTorch's after the
 * last step, the losses of the first steps are compared.
 */
export function ddpMisses(
  name: string,
  { losses, gradients, state }: Pick<DdpResult, 'losses' | 'gradients'> & Partial<DdpResult>,
  bounds: DdpBounds,
): string[] {
  const given = ddpCases[name]!;
  const start: Method['state'] = methodOf(given).state;
  const misses: string[] = [];
  const check = (what: string, error: number, bound: number) => {
    if (!(error <= bound)) misses.push(`${what}: ${error.toExponential(2)} > ${bound.toExponential(2)}`);
  };
  const expected = state ? given.losses : given.losses.slice(0, losses.length);
  expected.forEach((loss, i) => {
    check(`loss of step ${i}`, Math.abs(losses[i]! - loss) / loss, bounds.loss(i));
  });
  for (const [parameter, fact] of Object.entries(given.gradients)) {
    const ours = sample(gradients[`grad.${parameter}`]!.data, given.sample);
    check(`grad.${parameter}`, relative(ours, fact.sample), bounds.gradient);
  }
  if (state)
    // Frozen: nothing changed it.
    for (const [key, fact] of Object.entries(given.state))
      if (fact.norm === 0) check(key, relative(sample(state[key]!.data, given.sample), fact.sample), 1e-6);
      else check(key, stateError(key, state[key]!, start[key]!, fact, given.sample), bounds.state(key));
  return misses;
}
