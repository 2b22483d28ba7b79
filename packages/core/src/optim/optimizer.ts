/** Optimizers: one update rule each, as new nodes of the step's graph. */
import { SettingError } from '../errors.ts';
import type { Traced } from '../graph/trace.ts';

/** One parameter's update. */
export interface Update {
  readonly parameter: Traced;
  readonly gradient: Traced;
  /** This parameter's slots, in the optimizer's order. */
  readonly slots: readonly Traced[];
  /** The optimizer's scalars by name. */
  readonly scalars: Readonly<Record<string, Traced>>;
}

export interface Optimizer {
  readonly name: string;
  /** What is kept for each parameter beside its value, of the parameter's shape and zero at the start. */
  readonly slots: readonly string[];
  /**
   * The numbers that change from step to step, which are fed to the graph.
   * @param learningRate of this step
   * @param step counted from 0
   */
  scalars(learningRate: number, step: number): Record<string, number>;
  update(update: Update): { parameter: Traced; slots: Traced[] };
  /**
   * The loss is multiplied by it before it is differentiated, and gradients are divided by it, in float32, before they get
   * here: a power of two that keeps small gradients in the range of float16. Default 1.
   */
  readonly lossScale?: number;
}

export interface OptimizerConfig {
  readonly name: string;
  /** SGD and LARS: momentum. */
  readonly momentum?: number;
  /** Weight decay: added to the gradient (SGD, LARS) or decoupled (AdamW). */
  readonly weightDecay?: number;
  /** AdamW. */
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  /** LARS. */
  readonly trustCoefficient?: number;
}

const registry = new Map<string, (config: OptimizerConfig) => Optimizer>();

export function registerOptimizer(name: string, create: (config: OptimizerConfig) => Optimizer): void {
  registry.set(name, create);
}

/** @throws SettingError that lists the known names */
export function createOptimizer(config: OptimizerConfig): Optimizer {
  const create = registry.get(config.name);
  if (!create)
    throw new SettingError(
      `there is no optimizer "${config.name}"; known are: ${[...registry.keys()].sort().join(', ')}`,
      { setting: 'optimizer', value: config.name },
    );
  return create(config);
}
