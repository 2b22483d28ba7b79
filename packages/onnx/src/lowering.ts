/** From the nodes of a graph to ONNX nodes. Each op family has a file of rules in `ops/`. */
import { expectLowerings, type Graph, type Node, type TensorType } from '@moco-ts/core';
import { type Dimension, OnnxBuilder } from './builder.ts';

/** What a rule works with. */
export interface Lowering {
  readonly onnx: OnnxBuilder;
  readonly graph: Graph;
  /** Whether com.microsoft ops may be used: faster in ONNX Runtime, unknown elsewhere. */
  readonly contrib: boolean;
  /** The first extent of every input is free: rules must not write it down. */
  readonly freeBatch: boolean;
  type(value: number): TensorType;
  /** The ONNX name of a value, in the plain row-major layout. */
  get(value: number): string;
  set(value: number, name: string): void;
  /** Computes a helper value once for each key: what a gradient shares with its forward op. */
  once(key: string, make: () => string): string;
}

export type Rule = (node: Node, lowering: Lowering) => void;
export type Rules = Readonly<Record<string, Rule>>;

/** {@link Lowering} with values in one layout. Backends with further layouts extend it. */
export class PlainLowering implements Lowering {
  readonly onnx = new OnnxBuilder();
  readonly graph: Graph;
  readonly contrib: boolean;
  readonly freeBatch: boolean;
  protected readonly names = new Map<number, string>();
  private readonly helpers = new Map<string, string>();

  constructor(graph: Graph, { contrib = false, freeBatch = false } = {}) {
    this.graph = graph;
    this.contrib = contrib;
    this.freeBatch = freeBatch;
  }

  type(value: number): TensorType {
    return this.graph.values[value]!;
  }

  /** Whether a value has a tensor of its own; some are parts of an op. */
  has(value: number): boolean {
    return this.names.has(value);
  }

  get(value: number): string {
    const name = this.names.get(value);
    if (name === undefined) throw new RangeError(`value ${value} is read before it is made`);
    return name;
  }

  set(value: number, name: string): void {
    this.names.set(value, name);
  }

  once(key: string, make: () => string): string {
    const known = this.helpers.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.helpers.set(key, name);
    return name;
  }
}

/**
 * Applies the rules to all nodes.
 * @throws BackendError naming the op and node that no rule takes
 */
export function lowerNodes(lowering: Lowering, rules: Rules): void {
  expectLowerings('ONNX', rules, lowering.graph);
  for (const node of lowering.graph.nodes) rules[node.op]!(node, lowering);
}

/** A shape with its first extent free. */
export function freeBatch(shape: readonly number[]): Dimension[] {
  return shape.map((extent, axis) => (axis === 0 ? 'batch' : extent));
}
