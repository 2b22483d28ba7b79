import { ShapeError } from '../errors.ts';
import {
  type DType,
  describe,
  type HostDType,
  isReduced,
  type Shape,
  scalar,
  type Tensor,
  type TensorType,
} from '../tensor/tensor.ts';
import type { Attributes, Graph, Node, Port } from './graph.ts';
import { shapeRule } from './shape-rules.ts';

/** A value of a graph under construction: what layers and methods compute with. */
export class Traced implements TensorType {
  readonly builder: GraphBuilder;
  readonly id: number;
  constructor(builder: GraphBuilder, id: number) {
    this.builder = builder;
    this.id = id;
  }
  get shape(): Shape {
    return this.builder.values[this.id]!.shape;
  }
  get dtype(): DType {
    return this.builder.values[this.id]!.dtype;
  }
}

/** What an op takes: a traced value, or a number that becomes a float32 scalar. */
export type Operand = Traced | number;

/** Collects nodes. Use {@link trace}; ops find their builder through their operands. */
export class GraphBuilder {
  readonly values: TensorType[] = [];
  readonly nodes: Node[] = [];
  readonly inputs: Port[] = [];
  readonly outputs: Port[] = [];
  /** The values that {@link GraphBuilder.endBlock} was told of, in order. */
  readonly blockEnds: number[] = [];

  /** Declares an input. Throws ShapeError when the name is taken. */
  input(name: string, shape: Shape, dtype: HostDType = 'float32'): Traced {
    if (this.inputs.some((port) => port.name === name))
      throw new ShapeError(`two inputs are named "${name}"`);
    const value = this.value({ shape, dtype });
    this.inputs.push({ name, value });
    return new Traced(this, value);
  }

  /** Names a value as an output. Throws ShapeError when the name is taken, and for a reduced type: cast it to float32. */
  output(name: string, traced: Traced): void {
    if (isReduced(traced.dtype))
      throw new ShapeError(`the output "${name}" is ${traced.dtype}, which no host has: cast it to float32`);
    if (this.outputs.some((port) => port.name === name))
      throw new ShapeError(`two outputs are named "${name}"`);
    this.outputs.push({ name, value: traced.id });
  }

  /**
   * Says that a value ends a block: a gradient keeps it and computes what lies between it and the block before again.
   */
  endBlock(value: Traced): void {
    this.blockEnds.push(value.id);
  }

  constant(value: Tensor | number): Traced {
    return this.emit('constant', [], { tensor: typeof value === 'number' ? scalar(value) : value })[0]!;
  }

  /** Appends a node after its op's shape rule has accepted it. */
  emit(op: string, inputs: readonly Traced[], attrs: Attributes = {}): Traced[] {
    for (const input of inputs)
      if (input.builder !== this) throw new ShapeError(`${op}: an operand belongs to another graph`);
    let types: TensorType[];
    try {
      types = shapeRule(op)(inputs, attrs);
    } catch (error) {
      if (!(error instanceof ShapeError)) throw error;
      throw new ShapeError(`${op}(${inputs.map(describe).join(', ')}): ${error.message}`);
    }
    const outputs = types.map((type) => this.value(type));
    this.nodes.push({ op, inputs: inputs.map((input) => input.id), outputs, attrs });
    return outputs.map((id) => new Traced(this, id));
  }

  graph(): Graph {
    return {
      values: [...this.values],
      nodes: [...this.nodes],
      inputs: [...this.inputs],
      outputs: [...this.outputs],
    };
  }

  private value(type: TensorType): number {
    this.values.push({ shape: type.shape, dtype: type.dtype });
    return this.values.length - 1;
  }
}

/**
 * Records what `body` computes as a graph.
 * @param body declares inputs on the builder and returns the named outputs
 */
export function trace(body: (builder: GraphBuilder) => Record<string, Traced>): Graph {
  const builder = new GraphBuilder();
  for (const [name, value] of Object.entries(body(builder))) builder.output(name, value);
  return builder.graph();
}

/** The builder shared by some operands. Throws ShapeError when all of them are numbers. */
export function builderOf(...operands: Operand[]): GraphBuilder {
  for (const operand of operands) if (operand instanceof Traced) return operand.builder;
  throw new ShapeError('an op needs at least one traced operand');
}

/** An operand as a traced value: numbers become constants. */
export function lift(builder: GraphBuilder, operand: Operand): Traced {
  return operand instanceof Traced ? operand : builder.constant(operand);
}
