/** Runs a training step on a backend. */
import { type Backend, type CompileOptions, checkPrecision, type Program, type Tensors } from '../backend.ts';
import type { Graph } from '../graph/graph.ts';
import { type Precision, withPrecision } from '../passes/precision.ts';
import { scalar, type Tensor } from '../tensor/tensor.ts';
import { microBatches, pendingState, updateMetrics } from './accumulation.ts';
import { stepScalars, type TrainingStep } from './step.ts';

export interface Trainer {
  /**
   * One step; where it accumulates gradients, all of its micro-batches. If a later one of them fails, running statistics have moved
   * already.
   * @param feeds images and orders, as the method asks for, of the whole batch
   * @param learningRate of this step
   * @param step counted from 0 over the whole run: optimizers correct their bias by it
   * @returns the metrics; of micro-batches their mean: for the loss and accuracies that of the batch, for the feature std the mean of
   * theirs
   */
  step(feeds: Tensors, learningRate: number, step: number): Promise<Record<string, Tensor>>;
  /** The names of all that the state holds. */
  readonly stateNames: readonly string[];
  /** A copy of the state, or of a part of it. */
  state(names?: readonly string[]): Promise<Record<string, Tensor>>;
  readonly memory: Program['memory'];
  dispose(): Promise<void>;
}

export interface TrainerOptions {
  /** Default `fp32`. */
  readonly precision?: Precision;
}

/** What a backend is to compile, so that a graph computes in a precision. */
export function inPrecision(
  graph: Graph,
  options: CompileOptions,
  precision: Precision,
): [Graph, CompileOptions] {
  return [withPrecision(graph, precision), { ...options, ...(precision === 'tf32' && { tf32: true }) }];
}

/**
 * Compiles a step and loads its state.
 * @throws BackendError for a precision that the backend doesn't compute in
 */
export async function createTrainer(
  backend: Backend,
  step: TrainingStep,
  state: Tensors,
  { precision = 'fp32' }: TrainerOptions = {},
): Promise<Trainer> {
  await checkPrecision(backend, precision);
  const program = await backend.compile(...inPrecision(step.graph, { state: step.state }, precision));
  const { overlapping = false } = backend.capabilities();
  const stateNames = step.state
    .map(({ input }) => input)
    .filter((name) => !Object.hasOwn(step.pending ?? {}, name));
  try {
    await program.load({ ...state, ...pendingState(step) });
  } catch (error) {
    await program.dispose();
    throw error;
  }
  return {
    step: async (feeds, learningRate, count) => {
      const scalars = Object.entries(stepScalars(step, learningRate, count));
      // Object.assign in all that runs each step: of `{ ...a, b }` Node 20 makes a new hidden class each time (docs/reliability.md).
      const rates = Object.fromEntries(scalars.map(([name, value]) => [name, scalar(value)]));
      const runs: ReturnType<Program['run']>[] = [];
      for (const part of microBatches(step, feeds)) {
        const run = program.run(Object.assign({}, rates, part));
        runs.push(run);
        if (!overlapping) await run;
      }
      return updateMetrics(await Promise.all(runs));
    },
    stateNames,
    state: (names = stateNames) => program.read(names),
    memory: program.memory,
    dispose: () => program.dispose(),
  };
}
