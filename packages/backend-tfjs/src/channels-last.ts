/**
 * Rewrites a graph for engines whose convolutions take [N, H, W, C]: values between them stay in that layout, and are
 * transposed only where an op asks for the graph's own [N, C, H, W].
 */
import type { Attributes, Graph, Node, Shape, TensorType } from '@moco-ts/core';
import { elementwise } from './kernels/elementwise.ts';
import { last, permuted, second } from './kernels/layout.ts';

/** Which inputs and outputs of an op are maps; all others (filters, vectors) stay as they are. */
interface Maps {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** Ops whose kernels know the attribute `layout: 'last'`. */
const spatial: Readonly<Record<string, Maps>> = {
  conv2d: { inputs: [0], outputs: [0] },
  conv2dInputGrad: { inputs: [0], outputs: [0] },
  conv2dFilterGrad: { inputs: [0, 1], outputs: [] },
  maxPool2d: { inputs: [0], outputs: [0] },
  maxPool2dGrad: { inputs: [0, 1, 2], outputs: [0] },
};
/** The same where the maps may be in groups of images: see {@link Rewriter.groups}. */
const normalising: Readonly<Record<string, Maps>> = {
  batchNorm: { inputs: [0], outputs: [0] },
  batchNormGrad: { inputs: [0, 1], outputs: [0] },
  batchNormInference: { inputs: [0], outputs: [0] },
};
const reductions = new Set(['sum', 'mean', 'max']);

const equal = (a: Shape, b: Shape) => a.length === b.length && a.every((extent, axis) => extent === b[axis]);

/** @returns an equal graph; its values have new numbers behind the old ones, which all keep their meaning */
export function channelsLast(graph: Graph): Graph {
  const rewriter = new Rewriter(graph);
  for (const node of graph.nodes) rewriter.take(node);
  for (const { value } of graph.outputs) rewriter.plain(value);
  return { ...graph, values: rewriter.values, nodes: rewriter.nodes };
}

class Rewriter {
  readonly values: TensorType[];
  readonly nodes: Node[] = [];
  /** Values that exist as the graph has them. */
  private readonly here: Set<number>;
  /** Values of maps with the channels last, by the values of the graph that they replace. */
  private readonly last = new Map<number, number>();
  /**
   * Batch normalisation in groups of images sees [N, C, H, W] as [N / groups, groups C, H, W]. Such a view needs no copy with
   * the channels last: it is the map [N, H, W, C] itself, by the view that it replaces.
   */
  private readonly groups = new Map<number, number>();

  constructor(graph: Graph) {
    this.values = [...graph.values];
    this.here = new Set(graph.inputs.map(({ value }) => value));
  }

  take(node: Node): void {
    const { op } = node;
    if (op in spatial) this.emit(node, spatial[op]!, (id) => this.mapOf(id));
    else if (op in normalising) this.normalise(node, normalising[op]!);
    else if (op === 'barrier') this.barrier(node);
    else if (!(op === 'reshape' && this.view(node)) && !this.follow(node)) this.keep(node);
  }

  /** The value as the graph has it. */
  plain(id: number): number {
    if (this.here.has(id)) return id;
    this.here.add(id);
    const map = this.last.get(id);
    if (map !== undefined) this.add('transpose', [map], [id], { permutation: second });
    else {
      const shape = permuted(this.shapeOf(this.groups.get(id)!), second);
      const map = this.make({ ...this.values[id]!, shape });
      this.add('transpose', [this.groups.get(id)!], [map], { permutation: second });
      this.add('reshape', [map], [id], {});
    }
    return id;
  }

  /** The value [N, C, H, W] as a map [N, H, W, C]. */
  private mapOf(id: number): number {
    const known = this.last.get(id);
    if (known !== undefined) return known;
    // First, since it may itself be made of a map.
    const from = this.plain(id);
    const map = this.newMap(id);
    this.add('transpose', [from], [map], { permutation: last });
    return map;
  }

  private newMap(id: number): number {
    const { shape, dtype } = this.values[id]!;
    const map = this.make({ dtype, shape: permuted(shape, last) });
    this.last.set(id, map);
    return map;
  }

  private normalise(node: Node, maps: Maps): void {
    const given = maps.inputs.map((at) => node.inputs[at]!);
    const grouped = given.map((id) => this.groups.get(id)).find((map) => map !== undefined);
    if (grouped === undefined) {
      if (given.some((id) => this.last.has(id))) this.emit(node, maps, (id) => this.mapOf(id));
      else this.keep(node);
      return;
    }
    const shape = this.shapeOf(grouped);
    const groups = shape[0]! / this.shapeOf(given[0]!)[0]!;
    const input = (id: number) => {
      const map = this.groups.get(id);
      return map !== undefined && equal(this.shapeOf(map), shape) ? map : this.ungrouped(id, shape);
    };
    const output = (id: number) => {
      const map = this.make(this.values[grouped]!);
      this.groups.set(id, map);
      return map;
    };
    this.emit(node, maps, input, output, { groups });
  }

  /** The map of a view that was made of no map. */
  private ungrouped(id: number, shape: Shape): number {
    const map = this.make({ ...this.values[id]!, shape: permuted(shape, second) });
    this.add('reshape', [this.plain(id)], [map], {});
    this.here.add(map);
    return this.mapOf(map);
  }

  /** A reshape between maps and their groups, which then is none. */
  private view({ inputs: [from], outputs: [to] }: Node): boolean {
    const [before, after] = [this.shapeOf(from!), this.shapeOf(to!)];
    if (before.length !== 4 || after.length !== 4 || !equal(before.slice(2), after.slice(2))) return false;
    const grouped = this.groups.get(from!);
    if (grouped !== undefined && equal(permuted(after, last), this.shapeOf(grouped))) {
      this.last.set(to!, grouped);
      return true;
    }
    const map = this.last.get(from!);
    if (map === undefined || before[0]! % after[0]! !== 0) return false;
    this.groups.set(to!, map);
    return true;
  }

  /** What it waits for came before: nodes run in their order. So a map is the map itself. */
  private barrier({ op, inputs: [x], outputs: [out], attrs }: Node): void {
    const map = this.last.get(x!);
    if (map !== undefined) this.last.set(out!, map);
    else this.keep({ op, inputs: [x!], outputs: [out!], attrs });
  }

  /** Ops that take any layout take that of their inputs. */
  private follow(node: Node): boolean {
    const { op, inputs, outputs, attrs } = node;
    if (!inputs.some((id) => this.last.has(id))) return false;
    if (reductions.has(op)) return this.reduce(node);
    if (!(op in elementwise) || !inputs.every((id) => [0, 4].includes(this.shapeOf(id).length))) return false;
    const operands = inputs.map((id) => (this.shapeOf(id).length === 4 ? this.mapOf(id) : this.plain(id)));
    this.add(op, operands, [this.newMap(outputs[0]!)], attrs);
    return true;
  }

  private reduce({ op, inputs, outputs: [out], attrs }: Node): boolean {
    const axes = attrs.axes as readonly number[];
    const keeps = this.shapeOf(out!).length === 4;
    // Without its axis of channels, or with nothing but it behind the images, the result is the same in both layouts.
    const left = [1, 2, 3].filter((axis) => !axes.includes(axis));
    if (!keeps && left.includes(1) && left.length > 1) return false;
    const moved = axes.map((axis) => last.indexOf(axis)).sort();
    const result = keeps ? this.newMap(out!) : out!;
    if (!keeps) this.here.add(result);
    this.add(op, [this.mapOf(inputs[0]!)], [result], { ...attrs, axes: moved });
    return true;
  }

  private keep({ op, inputs, outputs, attrs }: Node): void {
    const operands = inputs.map((id) => this.plain(id));
    for (const id of outputs) this.here.add(id);
    this.add(op, operands, outputs, attrs);
  }

  private emit(
    { op, inputs, outputs, attrs }: Node,
    maps: Maps,
    input: (id: number) => number,
    output = (id: number) => this.newMap(id),
    more: Attributes = {},
  ): void {
    const operands = inputs.map((id, i) => (maps.inputs.includes(i) ? input(id) : this.plain(id)));
    const results = outputs.map((id, i) => {
      if (maps.outputs.includes(i)) return output(id);
      this.here.add(id);
      return id;
    });
    this.add(op, operands, results, { ...attrs, ...more, layout: 'last' });
  }

  private add(op: string, inputs: readonly number[], outputs: readonly number[], attrs: Attributes): void {
    this.nodes.push({ op, inputs, outputs, attrs });
  }

  private make(type: TensorType): number {
    return this.values.push(type) - 1;
  }

  private shapeOf(id: number): Shape {
    return this.values[id]!.shape;
  }
}
