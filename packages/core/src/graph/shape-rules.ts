/** The ops' shape rules by name: all that a graph under construction knows of ops. */
import type { TensorType } from '../tensor/tensor.ts';
import type { Attributes } from './graph.ts';

/** The types of the outputs. Throws ShapeError for what the op can't take. */
export type ShapeRule = (inputs: readonly TensorType[], attrs: Attributes) => TensorType[];

const rules = new Map<string, ShapeRule>();

export function addShapeRule(op: string, rule: ShapeRule): void {
  rules.set(op, rule);
}

/** Throws RangeError for an unknown op. */
export function shapeRule(op: string): ShapeRule {
  const rule = rules.get(op);
  if (!rule) throw new RangeError(`there is no op named "${op}"`);
  return rule;
}
