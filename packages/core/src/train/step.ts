/** A training step as a pure graph: (state, batch, scalars) -> (state', metrics). */
import type { StateSlot } from '../backend.ts';
import { isBuffer, type TracedParams } from '../encoder.ts';
import { CheckpointError } from '../errors.ts';
import { gradients } from '../grad.ts';
import type { Graph } from '../graph/graph.ts';
import { allGather, allReduce, fromFirst } from '../graph/ops/collective.ts';
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
   * N, the micro-batches of an update: runs of the graph, each fed its number and its rows (`microBatches`). Default 1.
   */
  readonly accumulate?: number;
  /** R, the replicas that compute it together, each with its rows of the batch. Default 1. */
  readonly replicas?: number;
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

export interface StepOptions {
  /** N, the micro-batches of an update. Default 1. */
  readonly accumulate?: number | undefined;
  /** R, the replicas. Default 1. */
  readonly replicas?: number | undefined;
}

/** Values that are summed over the replicas, and what is done with the sums. */
interface Exchange {
  readonly values: readonly Traced[];
  then(sums: readonly Traced[]): void;
}

/**
 * Collects the parts of a step while a method traces it. With R replicas the method traces what one of them does with its rows;
 * gradients, metrics and buffers are brought together here, by one exchange behind the backward pass.
 */
export class StepTracer {
  readonly builder = new GraphBuilder();
  /** The traced state inputs by name. */
  readonly state: TracedParams;
  private readonly next = new Map<string, Traced>();
  private readonly metrics: string[] = [];
  private readonly accumulation: Accumulation | undefined;
  private readonly replicas: number;
  private readonly exchanges: Exchange[] = [];
  private rateGroup: RateGroup | undefined;

  constructor(state: StateTypes, { accumulate = 1, replicas = 1 }: StepOptions = {}) {
    this.replicas = replicas;
    this.state = Object.fromEntries(
      Object.entries(state).map(([name, { shape, dtype }]) => [name, this.builder.input(name, shape, dtype)]),
    );
    if (accumulate > 1) this.accumulation = new Accumulation(this.builder, accumulate, replicas);
  }

  feed(name: string, shape: Shape, dtype: HostDType = 'float32'): Traced {
    return this.builder.input(name, shape, dtype);
  }

  /**
   * The state's value after the step, the same on all replicas: what is computed from a replica's rows goes through {@link wholeBatch}
   * or {@link replicaMean} first. What is never set stays as it is.
   * @param each with each micro-batch, as running statistics; default once, after the last one of an update
   */
  setState(name: string, value: Traced, each = false): void {
    const { accumulation } = this;
    this.next.set(name, !accumulation || each ? value : accumulation.once(this.stateNamed(name), value));
  }

  /**
   * A replica's rows of a micro-batch, [M, ...], as those of the whole update, [R N M, ...], for state that is set once: complete at
   * the last micro-batch, in the order of the batch.
   * @param name of its own in the step
   */
  wholeBatch(name: string, rows: Traced): Traced {
    return this.wholeUpdate(name, this.gathered(rows));
  }

  /** As {@link wholeBatch}, of rows that are {@link gathered} already. */
  wholeUpdate(name: string, rows: Traced): Traced {
    return this.accumulation?.rows(name, rows) ?? rows;
  }

  /** A replica's rows, [M, ...], as those of all of them, [R M, ...]. Gradients flow back to the replica that a row is from. */
  gathered(rows: Traced): Traced {
    return this.replicas === 1 ? rows : allGather(rows, this.replicas);
  }

  /** The mean of a float32 value over the replicas, for what a loss needs of the whole batch. */
  replicaMean(value: Traced): Traced {
    return this.replicas === 1 ? value : allReduce([this.share(value)], this.replicas)[0]!;
  }

  /** @param value of a replica's images; the metric is its mean over the replicas */
  metric(name: string, value: Traced): void {
    this.exchange([this.share(value)], ([mean]) => {
      this.metricOfAll(name, mean!);
    });
  }

  private metricOfAll(name: string, value: Traced): void {
    this.builder.output(name, value);
    this.metrics.push(name);
  }

  /** A replica's part of a mean. */
  private share(value: Traced): Traced {
    return this.replicas === 1 ? value : mul(value, 1 / this.replicas);
  }

  /** @param then what is done with the sums over the replicas: at once with one replica, else at the end of the step */
  private exchange(values: readonly Traced[], then: Exchange['then']): void {
    if (this.replicas === 1) then(values);
    else this.exchanges.push({ values, then });
  }

  private finishExchanges(): void {
    const all = this.exchanges.flatMap(({ values }) => values);
    const sums = allReduce(all, this.replicas)[Symbol.iterator]();
    for (const { values, then } of this.exchanges) then(values.map(() => sums.next().value!));
  }

  /** The network whose values the state has under a prefix. */
  branch(prefix: string, options: BranchOptions = {}): Branch {
    return new Branch(this.state, prefix, options);
  }

  /**
   * Makes a branch's values the state's: its `buffers`, or `all` that is not frozen. Of buffers, which each replica computes from its
   * own rows, replica 0's are kept.
   */
  keep(branch: Branch, what: 'buffers' | 'all'): void {
    for (const [name, value] of Object.entries(branch.params)) {
      const stateName = branch.stateName(name);
      if (what === 'buffers' ? !isBuffer(name) : branch.frozen.has(name)) continue;
      if (!isBuffer(name)) this.setState(stateName, value);
      else
        this.exchange([this.replicas === 1 ? value : fromFirst(value, this.replicas)], ([first]) => {
          this.setState(stateName, first!, true);
        });
    }
  }

  /**
   * One optimizer update of a branch's parameters by the gradient of a loss, its mean over replicas and micro-batches. Gradients and
   * slots are named as the branch names parameters.
   * @param expose also output the gradients, as `grad.<name>`
   * @param rateGroup parameters with a rate of their own
   */
  minimize(loss: Traced, branch: Branch, optimizer: Optimizer, expose = false, rateGroup?: RateGroup): void {
    this.rateGroup = rateGroup;
    const params = branch.trained();
    const { lossScale: scale = 1 } = optimizer;
    const scaled = gradients(
      // The loss is one number; without a scale, which keeps gradients within float16, that is where the replicas' mean costs nothing.
      scale === 1 ? this.share(loss) : mul(loss, scale),
      params.map(([, value]) => value),
    );
    const derivatives =
      scale === 1 ? scaled : scaled.map((derivative) => mul(derivative, 1 / (scale * this.replicas)));
    const names = Object.keys(optimizer.scalars(0, 0));
    const fed = (prefix: string) =>
      Object.fromEntries(names.map((name) => [name, this.feed(`${prefix}${name}`, [])]));
    const common = fed('');
    const own = rateGroup && fed('group.');
    this.exchange(derivatives, (means) => {
      params.forEach(([name, parameter], i) => {
        const gradient = this.accumulation?.mean(`grad.${name}`, means[i]!) ?? means[i]!;
        const slotNames = optimizer.slots.map((slot) => `opt.${slot}.${name}`);
        const slots = slotNames.map((slot) => this.stateNamed(slot));
        const scalars = own && rateGroup.has(name) ? own : common;
        const after = optimizer.update({ parameter, gradient, slots, scalars });
        this.setState(branch.stateName(name), after.parameter);
        slotNames.forEach((slot, s) => {
          this.setState(slot, after.slots[s]!);
        });
        if (expose) this.metricOfAll(`grad.${name}`, gradient);
      });
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
    this.finishExchanges();
    const { accumulation, rateGroup, metrics, replicas } = this;
    const state = Object.keys(this.state).map((input): StateSlot => {
      const value = this.next.get(input);
      if (!value) return { input };
      this.builder.output(`next.${input}`, value);
      return { input, output: `next.${input}` };
    });
    const graph = optimize(this.builder.graph());
    const step = { graph, state, metrics, optimizer, rateGroup, ...(replicas > 1 && { replicas }) };
    if (!accumulation) return step;
    const { count: accumulate, state: pending } = accumulation;
    const kept = Object.keys(pending).map((input): StateSlot => ({ input, output: `next.${input}` }));
    return { ...step, state: [...state, ...kept], accumulate, pending };
  }
}
