/** A training step as a pure graph: (state, batch, scalars) -> (state', metrics). */
import type { StateSlot } from '../backend.ts';
import { isBuffer, type TracedParams } from '../encoder.ts';
import { CheckpointError } from '../errors.ts';
import { gradients } from '../grad.ts';
import type { Graph } from '../graph/graph.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { GraphBuilder, type Traced } from '../graph/trace.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { optimize } from '../passes/passes.ts';
import { filled, type HostDType, type HostType, type Shape } from '../tensor/tensor.ts';
import { Accumulation } from './accumulation.ts';
import { Branch, type BranchOptions } from './branch.ts';

/** A traced step. Its state outputs are named `next.<state input>`. */
export interface TrainingStep {
  readonly graph: Graph;
  readonly state: readonly StateSlot[];
  /** The names of the outputs that are metrics: scalars, and gradients when asked for. */
  readonly metrics: readonly string[];
  readonly optimizer: Optimizer;
  readonly rateGroup?: RateGroup | undefined;
  /**
   * N, the micro-batches of an update: runs of the graph, each fed its number and its rows ({@link microBatches}). Default 1.
   */
  readonly accumulate?: number;
  /** What one micro-batch leaves to the next, by name: state that is zero at first, and means nothing between updates. */
  readonly pending?: StateTypes;
}

/** Parameters that learn at a rate of their own: SimSiam's predictor, whose rate does not fall. */
export interface RateGroup {
  /** @param parameter as the branch names it */
  has(parameter: string): boolean;
  /** @param learningRate the step's */
  rate(learningRate: number): number;
}

/** The optimizer's scalars of a step, as its graph is fed them. @param count steps of the run that are done */
export function stepScalars(
  { optimizer, rateGroup }: Pick<TrainingStep, 'optimizer' | 'rateGroup'>,
  learningRate: number,
  count: number,
): Record<string, number> {
  const scalars = optimizer.scalars(learningRate, count);
  if (!rateGroup) return scalars;
  const own = Object.entries(optimizer.scalars(rateGroup.rate(learningRate), count));
  return Object.assign(scalars, Object.fromEntries(own.map(([name, value]) => [`group.${name}`, value])));
}

/** The state's types by name: tensors serve as well. */
export type StateTypes = Readonly<Record<string, HostType>>;

/** The optimizer's slots for some parameters, as zeros: `opt.<slot>.<name>`. Buffers and frozen parameters have none. */
export function initSlots(
  optimizer: Optimizer,
  params: StateTypes,
  frozen: ReadonlySet<string> = new Set(),
): Record<string, ReturnType<typeof filled>> {
  const slots: Record<string, ReturnType<typeof filled>> = {};
  for (const slot of optimizer.slots)
    for (const [name, { shape }] of Object.entries(params))
      if (!isBuffer(name) && !frozen.has(name)) slots[`opt.${slot}.${name}`] = filled(shape, 0);
  return slots;
}

/** Collects the parts of a step while a method traces it. */
export class StepTracer {
  readonly builder = new GraphBuilder();
  /** The traced state inputs by name. */
  readonly state: TracedParams;
  private readonly next = new Map<string, Traced>();
  private readonly metrics: string[] = [];
  private readonly accumulation: Accumulation | undefined;
  private rateGroup: RateGroup | undefined;

  /** @param accumulate N, the micro-batches of an update */
  constructor(state: StateTypes, { accumulate = 1 }: { readonly accumulate?: number } = {}) {
    this.state = Object.fromEntries(
      Object.entries(state).map(([name, { shape, dtype }]) => [name, this.builder.input(name, shape, dtype)]),
    );
    if (accumulate > 1) this.accumulation = new Accumulation(this.builder, accumulate);
  }

  feed(name: string, shape: Shape, dtype: HostDType = 'float32'): Traced {
    return this.builder.input(name, shape, dtype);
  }

  /**
   * The state's value after the step. What is never set stays as it is.
   * @param each with each micro-batch, as running statistics; default once, after the last one of an update
   */
  setState(name: string, value: Traced, each = false): void {
    const { accumulation } = this;
    this.next.set(name, !accumulation || each ? value : accumulation.once(this.stateNamed(name), value));
  }

  /**
   * Rows of a micro-batch, [M, ...], as those of the whole update, [N M, ...], for state that is set once: complete at the last
   * micro-batch, in the order of the batch.
   * @param name of its own in the step
   */
  wholeBatch(name: string, rows: Traced): Traced {
    return this.accumulation?.rows(name, rows) ?? rows;
  }

  metric(name: string, value: Traced): void {
    this.builder.output(name, value);
    this.metrics.push(name);
  }

  /** The network whose values the state has under a prefix. */
  branch(prefix: string, options: BranchOptions = {}): Branch {
    return new Branch(this.state, prefix, options);
  }

  /** Makes a branch's values the state's: its `buffers`, or `all` that is not frozen. */
  keep(branch: Branch, what: 'buffers' | 'all'): void {
    for (const [name, value] of Object.entries(branch.params))
      if (what === 'all' ? !branch.frozen.has(name) : isBuffer(name))
        this.setState(branch.stateName(name), value, isBuffer(name));
  }

  /**
   * One optimizer update of a branch's parameters by the gradient of a loss, its mean over the micro-batches. Gradients and slots
   * are named as the branch names parameters.
   * @param expose also output the gradients, as `grad.<name>`
   * @param rateGroup parameters with a rate of their own
   */
  minimize(loss: Traced, branch: Branch, optimizer: Optimizer, expose = false, rateGroup?: RateGroup): void {
    this.rateGroup = rateGroup;
    const params = branch.trained();
    const { lossScale: scale = 1 } = optimizer;
    const scaled = gradients(
      scale === 1 ? loss : mul(loss, scale),
      params.map(([, value]) => value),
    );
    const derivatives = scale === 1 ? scaled : scaled.map((derivative) => mul(derivative, 1 / scale));
    const names = Object.keys(optimizer.scalars(0, 0));
    const fed = (prefix: string) =>
      Object.fromEntries(names.map((name) => [name, this.feed(`${prefix}${name}`, [])]));
    const common = fed('');
    const own = rateGroup && fed('group.');
    params.forEach(([name, parameter], i) => {
      const derivative = derivatives[i]!;
      const gradient = this.accumulation?.mean(`grad.${name}`, derivative) ?? derivative;
      const slotNames = optimizer.slots.map((slot) => `opt.${slot}.${name}`);
      const slots = slotNames.map((slot) => this.stateNamed(slot));
      const scalars = own && rateGroup.has(name) ? own : common;
      const after = optimizer.update({ parameter, gradient, slots, scalars });
      this.setState(branch.stateName(name), after.parameter);
      slotNames.forEach((slot, s) => {
        this.setState(slot, after.slots[s]!);
      });
      if (expose) this.metric(`grad.${name}`, gradient);
    });
  }

  private stateNamed(name: string): Traced {
    const value = this.state[name];
    if (!value)
      throw new CheckpointError(`the state lacks "${name}": was it made with another optimizer?`, {
        code: 'checkpoint-mismatch',
      });
    return value;
  }

  finish(optimizer: Optimizer): TrainingStep {
    const { accumulation, rateGroup, metrics } = this;
    const state = Object.keys(this.state).map((input): StateSlot => {
      const value = this.next.get(input);
      if (!value) return { input };
      this.builder.output(`next.${input}`, value);
      return { input, output: `next.${input}` };
    });
    const graph = optimize(this.builder.graph());
    if (!accumulation) return { graph, state, metrics, optimizer, rateGroup };
    const { count: accumulate, state: pending } = accumulation;
    const kept = Object.keys(pending).map((input): StateSlot => ({ input, output: `next.${input}` }));
    return { graph, state: [...state, ...kept], metrics, optimizer, rateGroup, accumulate, pending };
  }
}
