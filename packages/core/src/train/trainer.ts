/** Runs a training step on a backend. */
import type { Backend, Program, Tensors } from '../backend.ts';
import { scalar, type Tensor } from '../tensor/tensor.ts';
import { stepScalars, type TrainingStep } from './step.ts';

export interface Trainer {
  /**
   * One step.
   * @param feeds images and orders, as the method asks for
   * @param learningRate of this step
   * @param step counted from 0 over the whole run: optimizers correct their bias by it
   * @returns the metrics
   */
  step(feeds: Tensors, learningRate: number, step: number): Promise<Record<string, Tensor>>;
  /** The names of all that the state holds. */
  readonly stateNames: readonly string[];
  /** A copy of the state, or of a part of it. */
  state(names?: readonly string[]): Promise<Record<string, Tensor>>;
  readonly memory: Program['memory'];
  dispose(): Promise<void>;
}

/** Compiles a step and loads its state. */
export async function createTrainer(backend: Backend, step: TrainingStep, state: Tensors): Promise<Trainer> {
  const program = await backend.compile(step.graph, { state: step.state });
  try {
    await program.load(state);
  } catch (error) {
    await program.dispose();
    throw error;
  }
  return {
    step: (feeds, learningRate, count) => {
      const scalars = Object.entries(stepScalars(step, learningRate, count));
      // Object.assign in all that runs each step: of `{ ...a, b }` Node 20 makes a new hidden class each time (docs/reliability.md).
      const rates = Object.fromEntries(scalars.map(([name, value]) => [name, scalar(value)]));
      return program.run(Object.assign(rates, feeds));
    },
    stateNames: step.state.map(({ input }) => input),
    state: (names) => program.read(names),
    memory: program.memory,
    dispose: () => program.dispose(),
  };
}
