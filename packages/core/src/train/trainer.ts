/** Runs a training step on a backend. */
import { type Backend, type CompileOptions, checkPrecision, type Program, type Tensors } from '../backend.ts';
import type { Communicator } from '../communicator.ts';
import { BackendError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { type Precision, withPrecision } from '../passes/precision.ts';
import { scalar, type Tensor } from '../tensor/tensor.ts';
import { pendingState, updateMetrics } from './accumulation.ts';
import { microBatches } from './feeds.ts';
import { stepScalars, type TrainingStep } from './step.ts';

export interface Trainer {
  /**
   * One step; where it accumulates gradients, all of its micro-batches. A step that fails has updated nothing; but if a later
   * micro-batch fails, running statistics (and `bank_z`) may have moved already. On a device that computes by itself all of them have
   * begun: if one before the last fails, the last has updated from an incomplete sum, and the state is lost.
   * @param feeds images and orders, as the method asks for, of the whole batch; with a communicator also of this replica alone
   * @param learningRate of this step
   * @param step counted from 0 over the whole run: optimizers correct their bias by it
   * @returns the metrics; of micro-batches their mean: for the loss and accuracies that of the batch, for the feature std the mean of
   * theirs
   * @throws what a run throws, and BackendError once the state is lost
   */
  step(feeds: Tensors, learningRate: number, step: number): Promise<Record<string, Tensor>>;
  /** The names of all that the state holds. */
  readonly stateNames: readonly string[];
  /**
   * A copy of the state, or of a part of it.
   * @throws BackendError once the state is lost
   */
  state(names?: readonly string[]): Promise<Record<string, Tensor>>;
  readonly memory: Program['memory'];
  dispose(): Promise<void>;
}

export interface TrainerOptions {
  /** Default `fp32`. */
  readonly precision?: Precision;
  /** Joins this replica with the others, whose trainers take the same steps from the same state. Default: a step is not shared. */
  readonly communicator?: Communicator;
}

/** What a backend is to compile, so that a graph computes in a precision. */
export function inPrecision(
  graph: Graph,
  options: CompileOptions,
  precision: Precision,
): [Graph, CompileOptions] {
  return [withPrecision(graph, precision), { ...options, ...(precision === 'tf32' && { tf32: true }) }];
}

/** @throws BackendError unless a step is of the replicas that run it */
function checkReplicas(
  { name, replicas: devices = 1 }: Backend,
  { replicas = 1 }: TrainingStep,
  communicator?: Communicator,
): void {
  const size = communicator?.size ?? 1;
  // A step without collectives runs on one device of several.
  const running = size * (replicas === 1 ? 1 : devices);
  if (running !== replicas)
    throw new BackendError(`the step is of ${replicas} replicas, ${name} runs ${running}`);
}

/**
 * Compiles a step and loads its state.
 * @throws BackendError for a precision that the backend doesn't compute in, and for a step of more replicas, or fewer, than there are
 */
export async function createTrainer(
  backend: Backend,
  step: TrainingStep,
  state: Tensors,
  { precision = 'fp32', communicator }: TrainerOptions = {},
): Promise<Trainer> {
  await checkPrecision(backend, precision);
  checkReplicas(backend, step, communicator);
  const options = { state: step.state, ...(communicator && { communicator }) };
  const program = await backend.compile(...inPrecision(step.graph, options, precision));
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
  let lost: BackendError | undefined;
  const check = () => {
    if (lost) throw lost;
  };
  /** Waits for the micro-batches of an update. */
  const settled = async (runs: readonly ReturnType<Program['run']>[]) => {
    const ends = await Promise.allSettled(runs);
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed && ends.at(-1)!.status === 'fulfilled')
      lost ??= new BackendError(
        `the state was lost by a micro-batch that failed: ${(failed.reason as Error).message}`,
        { cause: failed.reason },
      );
    const results = await Promise.all(runs);
    check();
    return results;
  };
  return {
    step: async (feeds, learningRate, count) => {
      check();
      const scalars = Object.entries(stepScalars(step, learningRate, count));
      // Object.assign in all that runs each step: of `{ ...a, b }` Node 20 makes a new hidden class each time (docs/reliability.md).
      const rates = Object.fromEntries(scalars.map(([name, value]) => [name, scalar(value)]));
      const runs: ReturnType<Program['run']>[] = [];
      for (const part of microBatches(step, feeds, communicator)) {
        const run = program.run(Object.assign({}, rates, part));
        runs.push(run);
        if (!overlapping) await run;
      }
      return updateMetrics(await settled(runs));
    },
    stateNames,
    state: async (names = stateNames) => {
      check();
      return program.read(names);
    },
    memory: program.memory,
    dispose: () => program.dispose(),
  };
}
