import type { Attributes } from './graph.ts';
import { addShapeRule, type ShapeRule } from './shape-rules.ts';
import type { Traced } from './trace.ts';

/** What a gradient rule sees. */
export interface GradContext {
  readonly inputs: readonly Traced[];
  readonly outputs: readonly Traced[];
  /** The loss's gradient by each output; undefined where the loss doesn't depend on it. */
  readonly dOutputs: readonly (Traced | undefined)[];
  readonly attrs: Attributes;
  /** Which inputs a gradient is asked for: rules skip the others. */
  readonly needs: readonly boolean[];
}

/** What a rule that computes an op's outputs once more sees. */
export interface AgainContext {
  readonly inputs: readonly Traced[];
  /** Those that were kept. */
  readonly outputs: readonly (Traced | undefined)[];
  readonly attrs: Attributes;
}

/** An operation: its shape rule and, where it has one, its gradient. */
export interface Op {
  readonly name: string;
  readonly infer: ShapeRule;
  /** The gradients by the inputs, as new nodes; undefined for what `needs` does not ask for, and where there is none: an error. */
  grad?(context: GradContext): (Traced | undefined)[];
  /**
   * The outputs once more, where some that were kept make that cheaper than the whole op; undefined where they don't. Default:
   * the op itself.
   */
  again?(context: AgainContext): readonly Traced[] | undefined;
  /**
   * Why the op has no gradient: 'none' for a derivative that is zero or undefined everywhere (comparisons, indices),
   * 'stop' for ops that are themselves gradients or statistics and can't be differentiated again.
   */
  readonly gradient?: 'none' | 'stop';
}

const registry = new Map<string, Op>();

/** Registers an op. Throws RangeError when the name is taken. */
export function defineOp(op: Op): Op {
  if (registry.has(op.name)) throw new RangeError(`the op "${op.name}" is defined already`);
  if (!op.grad && !op.gradient) throw new RangeError(`the op "${op.name}" needs a gradient or a reason`);
  registry.set(op.name, op);
  addShapeRule(op.name, op.infer);
  return op;
}

/** Throws RangeError for an unknown op. */
export function opNamed(name: string): Op {
  const op = registry.get(name);
  if (!op) throw new RangeError(`there is no op named "${name}"`);
  return op;
}

/** The names of all ops, sorted. */
export function opNames(): string[] {
  return [...registry.keys()].sort();
}
