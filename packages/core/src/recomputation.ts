/**
 * Activation recomputation (Chen et al., arXiv 1604.06174): of a block, a stretch of the forward pass up to a marked value,
 * only the ends stay in memory for the backward pass, which computes the rest again when it comes to the block.
 */
import type { Node } from './graph/graph.ts';
import { opNamed } from './graph/op.ts';
import { barrier } from './graph/ops/barrier.ts';
import { collectives } from './graph/ops/collective.ts';
import { type GraphBuilder, Traced } from './graph/trace.ts';
import { sizeOf } from './tensor/tensor.ts';

/** A value that is smaller than its block's end by this factor is kept: statistics, and what is pooled. */
const small = 8;

/** What the gradients of a graph's nodes read in the place of the nodes' own values. */
export class Recomputation {
  private readonly builder: GraphBuilder;
  /** The ends of the blocks whose values are computed again. */
  private readonly ends: readonly number[];
  /** For each node, the number of the block in which it lies; those behind the last one lie in none. */
  private readonly blocks = new Map<Node, number>();
  private readonly makers = new Map<number, Node>();
  private readonly parameters: ReadonlySet<number>;
  /** Ends, and all else that a later block reads. */
  private readonly kept: Set<number>;
  private readonly made = new Map<string, Traced>();

  /**
   * @param nodes the forward pass
   * @param active the values through which gradients flow
   * @param parameters by which the gradients are taken: always there, they are read as they are
   */
  constructor(
    builder: GraphBuilder,
    nodes: readonly Node[],
    active: ReadonlySet<number>,
    parameters: readonly Traced[],
  ) {
    this.builder = builder;
    this.parameters = new Set(parameters.map(({ id }) => id));
    const marked = new Set(builder.blockEnds.filter((id) => active.has(id)));
    const ends = nodes.flatMap(({ outputs }) => outputs.filter((id) => marked.has(id)));
    // Nothing lies between the forward and the backward pass of the last block: its values are kept, as those of the loss.
    this.ends = ends.slice(0, -1);
    this.kept = new Set(this.ends);
    if (this.ends.length > 0) this.divide(nodes);
  }

  private divide(nodes: readonly Node[]): void {
    let block = 0;
    for (const node of nodes) {
      this.blocks.set(node, block);
      for (const id of node.outputs) this.makers.set(id, node);
      for (const id of node.inputs) if (this.blockOf(id) !== block) this.kept.add(id);
      while (node.outputs.includes(this.ends[block]!)) block++;
    }
  }

  /**
   * @param node whose gradient reads a value
   * @param after the gradient that is there when the node's turn comes
   */
  read(node: Node, id: number, after: Traced): Traced {
    const block = this.blocks.get(node);
    if (block === undefined || block >= this.ends.length) return new Traced(this.builder, id);
    return this.again(block, id, after);
  }

  private again(block: number, id: number, after: Traced): Traced {
    const key = `${block}: ${id}`;
    const known = this.made.get(key) ?? this.given(block, id, after);
    if (known) this.made.set(key, known);
    else this.repeat(block, this.makers.get(id)!, after);
    return this.made.get(key)!;
  }

  /** A value that needs no computing; undefined for others. */
  private given(block: number, id: number, after: Traced): Traced | undefined {
    const value = new Traced(this.builder, id);
    const maker = this.makers.get(id);
    if (this.parameters.has(id) || maker?.op === 'constant' || id === this.ends[block]) return value;
    // An exchange takes the replicas' time, and all would have to make it again together.
    if (maker && collectives.has(maker.op)) return value;
    // Not the value itself: what is computed again would be merged with what was computed with it.
    if (this.kept.has(id) || this.blockOf(id) !== block) return barrier(value, after);
    const end = this.builder.values[this.ends[block]!]!;
    return small * sizeOf(value.shape) <= sizeOf(end.shape) ? value : undefined;
  }

  private repeat(block: number, { op, inputs, outputs, attrs }: Node, after: Traced): void {
    const operands = inputs.map((id) => this.again(block, id, after));
    const held = outputs.map((id) => this.given(block, id, after));
    const results =
      opNamed(op).again?.({ inputs: operands, outputs: held, attrs }) ??
      this.builder.emit(op, operands, attrs);
    outputs.forEach((id, i) => {
      this.made.set(`${block}: ${id}`, held[i] ?? results[i]!);
    });
  }

  private blockOf(id: number): number | undefined {
    const maker = this.makers.get(id);
    return maker && this.blocks.get(maker);
  }
}
