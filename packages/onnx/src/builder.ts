/** Builds an ONNX model node by node. */
import { type Shape, sizeOf, type Tensor, type TensorType } from '@moco-ts/core';
import { attributeTypes, type ElementType, elementTypes, ModelProto } from './proto.ts';

/** An attribute's value. Numbers are ints unless wrapped by {@link float}. */
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

/** Marks a number as an attribute of type float, even if it is an integer. */
export function float(value: number): OnnxAttribute {
  return { float: value };
}

/** An extent, or the name of a free one. */
export type Dimension = number | string;

export interface ModelOptions {
  readonly opset: number;
  readonly name: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Contrib domains that ONNX Runtime knows. */
export type Domain = '' | 'com.microsoft' | 'com.microsoft.nchwc';

/** The ONNX IR version that came with opset 18. */
const irVersion = 8;

/** A node as built; an empty input name is an optional input left out. */
export interface OnnxNode {
  readonly opType: string;
  readonly name: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute?: readonly object[];
  readonly domain?: Domain;
}

/** A constant tensor. */
export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: Shape;
  /** The elements' bytes, the lowest first. */
  readonly rawData: Uint8Array;
}

/** A value that waits for others, by zeros that are computed from those. */
interface Late {
  readonly value: string;
  readonly zeros: readonly string[];
}

export class OnnxBuilder {
  private built: OnnxNode[] = [];
  /** Where the next node goes; at the end if undefined. */
  private position: number | undefined;
  private readonly renamed = new Map<string, string>();
  private readonly initializers = new Map<string, Initializer>();
  private readonly inputs: object[] = [];
  private readonly outputs: object[] = [];
  private readonly made = new Set<string>();
  private readonly constants = new Map<string, string>();
  private readonly late = new Map<string, Late>();
  private readonly domains = new Set<Domain>(['']);
  private count = 0;

  /** A name that no other value has. */
  fresh(hint: string): string {
    return `${hint}_${this.count++}`;
  }

  /** Adds a node with one output; gives the output's name. An empty input name leaves an optional input out. */
  op(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain: Domain = '',
  ): string {
    const late = type === 'Reshape' ? this.late.get(inputs[0]!) : undefined;
    if (late) return this.lateView(late, inputs[1]!);
    return this.node(type, inputs, attributes, 1, domain)[0]!;
  }

  /** Adds a node with several outputs. */
  node(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>>,
    outputs: number,
    domain: Domain = '',
  ): string[] {
    const names = Array.from({ length: outputs }, () => this.fresh(type));
    const attribute = Object.entries(attributes).map(([name, value]) => encodeAttribute(name, value));
    this.push({
      opType: type,
      name: this.fresh('node'),
      input: inputs,
      output: names,
      attribute,
      domain,
    });
    for (const name of names) this.made.add(name);
    this.domains.add(domain);
    return names;
  }

  /** The nodes so far, in their order. */
  get nodes(): readonly OnnxNode[] {
    return this.built;
  }

  /** Adds a node as it is. */
  append(node: Omit<OnnxNode, 'name'>): void {
    for (const name of node.output) this.made.add(name);
    this.push({ ...node, name: this.fresh('node') });
  }

  /** A constant by its name. */
  constant(name: string): Initializer | undefined {
    return this.initializers.get(name);
  }

  /**
   * Puts other nodes in the place of those from a position on, in order: what `make` adds, or the node itself where it
   * returns it. Constants that nothing reads any more are dropped.
   */
  rewrite(from: number, make: (node: OnnxNode) => OnnxNode | undefined): void {
    const nodes = this.built.splice(from);
    for (const node of nodes) {
      const kept = make(node);
      if (kept) this.built.push(kept);
    }
    const read = new Set(this.built.flatMap(({ input }) => input));
    for (const name of this.initializers.keys()) if (!read.has(name)) this.initializers.delete(name);
  }

  private push(node: OnnxNode): void {
    if (this.position === undefined) this.built.push(node);
    else this.built.splice(this.position++, 0, node);
  }

  /**
   * Makes a node wait for values that it doesn't read, by an operand.
   * @param position the node's, after all that make the values
   * @param dims of the node's operand
   * @param which the operand's number
   */
  runAfter(position: number, dims: Shape, values: readonly string[], which = 0): void {
    const node = this.built[position]!;
    this.position = position;
    const operand = this.after(node.input[which]!, dims, values);
    this.built[this.position] = { ...node, input: node.input.with(which, operand) };
    this.position = undefined;
  }

  /**
   * A value that is there only once others are, without a copy: it is reshaped to the shape that it has, and that shape is
   * computed from an element of each of the others.
   */
  after(value: string, dims: Shape, values: readonly string[]): string {
    const zeros = values.map((other) => {
      const first = this.op('Gather', [this.op('Reshape', [other, this.ints([-1])]), this.ints([0])], {
        axis: 0,
      });
      return this.op('Mul', [this.op('Cast', [first], { to: elementTypes.int64 }), this.ints([0])]);
    });
    return this.lateView({ value, zeros }, this.ints(dims));
  }

  /**
   * ONNX Runtime 1.30 fails at a reshape to a computed shape before one to a constant shape, which it tries to make one. So each
   * view of a late value is taken of what that one is a view of.
   */
  private lateView(late: Late, shape: string): string {
    const computed = late.zeros.reduce((total, zero) => this.op('Add', [total, zero]), shape);
    const view = this.node('Reshape', [late.value, computed], {}, 1)[0]!;
    this.late.set(view, late);
    return view;
  }

  /** An int64 vector, as shapes and axes are given. */
  ints(values: readonly number[]): string {
    return this.shared(`i${values.join()}`, () => {
      const data = BigInt64Array.from(values, BigInt);
      return this.initializer(this.fresh('ints'), 'int64', [values.length], data);
    });
  }

  /**
   * An int32 vector made once for each key: for long ones, whose content would be a slow key.
   */
  indices(key: string, make: () => Int32Array): string {
    return this.shared(`indices ${key}`, () => {
      const data = make();
      return this.initializer(this.fresh('indices'), 'int32', [data.length], data);
    });
  }

  /** A float32 scalar. */
  scalar(value: number): string {
    return this.shared(`f${Object.is(value, -0) ? '-0' : value}`, () =>
      this.initializer(this.fresh('scalar'), 'float32', [], Float32Array.of(value)),
    );
  }

  /** A float32 tensor of one value. */
  full(shape: Shape, value: number): string {
    return this.shared(`full${value},${shape.join()}`, () =>
      this.initializer(this.fresh('full'), 'float32', shape, new Float32Array(sizeOf(shape)).fill(value)),
    );
  }

  tensor({ dtype, shape, data }: Tensor, name = this.fresh('tensor')): string {
    return this.initializer(name, dtype, shape, data);
  }

  initializer(name: string, type: ElementType, dims: Shape, data: ArrayBufferView): string {
    const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.initializers.set(name, { name, type, dims, rawData });
    return name;
  }

  input(name: string, { dtype }: TensorType, dims: readonly Dimension[]): string {
    this.inputs.push(valueInfo(name, dtype, dims));
    return name;
  }

  /** Names a value as an output of the model: the value itself where it can be, so that nothing is copied. */
  output(name: string, value: string, { dtype }: TensorType, dims: readonly Dimension[]): void {
    if (this.made.has(value) && !this.renamed.has(value)) this.renamed.set(value, name);
    else this.push({ opType: 'Identity', name: this.fresh('node'), input: [value], output: [name] });
    this.outputs.push(valueInfo(name, dtype, dims));
  }

  /** Puts an empty sequence of float32 tensors before the model's other outputs. */
  firstOutputEmpty(name: string): void {
    const [value] = this.node('SequenceEmpty', [], { dtype: elementTypes.float32 }, 1);
    this.renamed.set(value!, name);
    const elemType = { tensorType: { elemType: elementTypes.float32 } };
    this.outputs.unshift({ name, type: { sequenceType: { elemType } } });
  }

  encode({ opset, name, metadata = {} }: ModelOptions): Uint8Array {
    const versions = (domain: Domain) => ({ domain, version: domain === '' ? opset : 1 });
    const rename = (value: string) => this.renamed.get(value) ?? value;
    const node = this.built.map(({ input, output, ...rest }) => ({
      ...rest,
      input: input.map(rename),
      output: output.map(rename),
    }));
    const model = {
      irVersion,
      producerName: 'MoCo.ts',
      opsetImport: [...this.domains].map(versions),
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      graph: {
        name,
        node,
        initializer: [...this.initializers.values()].map(({ type, ...rest }) => ({
          dataType: elementTypes[type],
          ...rest,
        })),
        input: this.inputs,
        output: this.outputs,
      },
    };
    return ModelProto.encode(ModelProto.create(model)).finish();
  }

  private shared(key: string, make: () => string): string {
    const known = this.constants.get(key);
    if (known !== undefined && this.initializers.has(known)) return known;
    const name = make();
    this.constants.set(key, name);
    return name;
  }
}

function valueInfo(name: string, dtype: ElementType, dims: readonly Dimension[]): object {
  const dim = dims.map((extent) =>
    typeof extent === 'number' ? { dimValue: extent } : { dimParam: extent },
  );
  return { name, type: { tensorType: { elemType: elementTypes[dtype], shape: { dim } } } };
}

function encodeAttribute(name: string, value: OnnxAttribute): object {
  if (typeof value === 'number') return { name, type: attributeTypes.int, i: value };
  if (typeof value === 'string')
    return { name, type: attributeTypes.string, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: attributeTypes.float, f: value.float };
  return { name, type: attributeTypes.ints, ints: value };
}
