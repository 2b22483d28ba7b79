/**
 * Mixed precision (Micikevicius et al., arXiv 1710.03740), by a rewrite of the graph: products of a reduced type, the rest in
 * float32. Which feature maps are reduced too follows PyTorch's autocast.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { cast } from '../graph/ops/elementwise.ts';
import { GraphBuilder, type Traced } from '../graph/trace.ts';
import { type DType, isFloat, isReduced, type ReducedDType } from '../tensor/tensor.ts';

/**
 * In what a step computes: `fp32`; `tf32`, where products may round their float32 operands to 11 bits; `bf16` and `fp16`, with
 * products and large feature maps of two bytes.
 */
export type Precision = (typeof precisions)[number];
export const precisions = ['fp32', 'tf32', 'bf16', 'fp16'] as const;

const reducedTypes: Readonly<Partial<Record<Precision, ReducedDType>>> = {
  bf16: 'bfloat16',
  fp16: 'float16',
};

/** The graph as a precision computes it; of `fp32` and `tf32` the same. Inputs, state and outputs stay as they are. */
export function withPrecision(graph: Graph, precision: Precision): Graph {
  const reduced = reducedTypes[precision];
  return reduced ? new Reduction(graph, reduced).run() : graph;
}

/** `Optimizer.lossScale` for a precision. Gradients of a mean over images stay far below 65,504 / 1,024. */
export const lossScaleOf = (precision: Precision): number => (precision === 'fp16' ? 1024 : 1);

/** Their float operands are rounded. GPUs have no fast convolution whose result is of another type than its operands. */
const products = new Set(['conv2d', 'conv2dInputGrad', 'conv2dFilterGrad', 'matmul', 'softmaxMatmul']);

const all = undefined;
/**
 * Ops that go on in the type that their operands have: elementwise ones, those that move data, and the normalisation of
 * feature maps, whose statistics are float32. By the places of the operands that decide.
 */
const followers: Readonly<Record<string, readonly number[] | undefined>> = {
  ...{ add: all, sub: all, mul: all, neg: all, relu: all, reluGrad: all, gelu: all, geluGrad: all },
  ...{ maxPool2d: all, maxPool2dGrad: all, batchNorm: [0], batchNormGrad: [0, 1], batchNormInference: [0] },
  ...{
    reshape: all,
    transpose: all,
    broadcastTo: all,
    barrier: [0],
    slice: all,
    pad: all,
    concat: all,
    split: all,
    gather: [0],
  },
};

const follows = ({ op }: Node): boolean => Object.hasOwn(followers, op);

/** The operands of a follower that decide on its type. */
function deciding({ op, inputs }: Node): readonly number[] {
  return inputs.filter((_, place) => followers[op]?.includes(place) ?? true);
}

class Reduction {
  private readonly graph: Graph;
  private readonly reduced: ReducedDType;
  private readonly builder = new GraphBuilder();
  /** For each value of the graph, what was made of it, by type. The first is as it was made; the others are casts. */
  private readonly made = new Map<number, Map<DType, Traced>>();

  constructor(graph: Graph, reduced: ReducedDType) {
    this.graph = graph;
    this.reduced = reduced;
  }

  run(): Graph {
    const wanted = this.wanted();
    for (const { name, value } of this.graph.inputs) {
      const { shape, dtype } = this.graph.values[value]!;
      this.set(value, this.builder.input(name, shape, dtype as 'float32'));
    }
    for (const node of this.graph.nodes) this.emit(node, wanted);
    for (const { name, value } of this.graph.outputs) this.builder.output(name, this.get(value, 'float32'));
    return this.builder.graph();
  }

  /** Values that reach the operands of a product through followers alone: there a float32 would be rounded later. */
  private wanted(): ReadonlySet<number> {
    const wanted = new Set<number>();
    for (const node of [...this.graph.nodes].reverse()) {
      if (products.has(node.op)) for (const id of node.inputs) wanted.add(id);
      else if (follows(node) && node.outputs.some((id) => wanted.has(id)))
        for (const id of deciding(node)) wanted.add(id);
    }
    return wanted;
  }

  private emit(node: Node, those: ReadonlySet<number>): void {
    const wanted = node.outputs.some((id) => those.has(id));
    if (products.has(node.op)) this.emitProduct(node, wanted);
    // Order alone: a cast of what comes after it would keep that twice.
    else if (node.op === 'barrier') this.append(node, (id) => this.typeOf(id));
    else {
      const decides = follows(node) && wanted ? deciding(node) : [];
      const dtype = decides.some((id) => isReduced(this.typeOf(id))) ? this.reduced : 'float32';
      this.append(node, (id) => (decides.includes(id) ? dtype : 'float32'));
    }
  }

  /** Where nothing wants a reduced result, it is float32: matrix products have it from the sum itself. */
  private emitProduct(node: Node, wanted: boolean): void {
    const exact = node.op === 'matmul' && !wanted;
    const attrs = exact ? { ...node.attrs, dtype: 'float32' } : node.attrs;
    this.append({ ...node, attrs }, () => this.reduced);
    if (!wanted) for (const id of node.outputs) this.set(id, this.get(id, 'float32'));
  }

  private append({ op, inputs, outputs, attrs }: Node, typeOf: (id: number) => DType): void {
    const operands = inputs.map((id) => this.get(id, typeOf(id)));
    for (const [i, value] of this.builder.emit(op, operands, attrs).entries()) this.set(outputs[i]!, value);
  }

  private set(id: number, value: Traced): void {
    this.made.set(id, new Map([[value.dtype, value]]));
  }

  private typeOf(id: number): DType {
    return this.made.get(id)!.keys().next().value!;
  }

  /** A value in a float type; integers and truths as they are. */
  private get(id: number, dtype: DType): Traced {
    const forms = this.made.get(id)!;
    const own = forms.get(this.typeOf(id))!;
    if (!isFloat(own.dtype)) return own;
    const known = forms.get(dtype) ?? cast(own, dtype);
    forms.set(dtype, known);
    return known;
  }
}
