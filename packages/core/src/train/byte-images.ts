/** Images as bytes on their way to a device: a quarter of what is copied there each step. */
import { type Graph, type Port, portType } from '../graph/graph.ts';
import { add, cast } from '../graph/ops/elementwise.ts';
import { gather } from '../graph/ops/index-ops.ts';
import { reshape } from '../graph/ops/shape.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { type Shape, sizeOf, tensor } from '../tensor/tensor.ts';
import type { TrainingStep } from './step.ts';

/** Of the channels, in [0, 1]. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const BYTES = 256;

/** What each byte of each channel becomes, 256 numbers a channel: (byte / 255 - mean) / std, rounded to float32 once. */
export function byteTable({ mean, std }: Normalisation): Float32Array {
  const table = new Float32Array(BYTES * mean.length);
  for (let at = 0; at < table.length; at++) {
    const channel = Math.floor(at / BYTES);
    table[at] = ((at % BYTES) / 255 - mean[channel]!) / std[channel]!;
  }
  return table;
}

/** Images of bytes [N, C, H, W] as normalised ones. @param plane H W */
export function normaliseBytes(images: Uint8Array, plane: number, by: Normalisation): Float32Array {
  const table = byteTable(by);
  const normalised = new Float32Array(images.length);
  for (let at = 0; at < images.length; at++) {
    const channel = Math.floor(at / plane) % by.mean.length;
    normalised[at] = table[BYTES * channel + images[at]!]!;
  }
  return normalised;
}

/**
 * A step that takes images as bytes and looks up what each becomes. Its numbers are, to the bit, those of the step itself with
 * normalised images.
 * @param names of its inputs that are images, [N, C, H, W]
 */
export function takingBytes(step: TrainingStep, names: readonly string[], by: Normalisation): TrainingStep {
  const { graph } = step;
  const prelude = trace((builder) =>
    Object.fromEntries(
      names.map((name) => {
        const { shape } = portType(graph, graph.inputs, name);
        return [name, lookedUp(builder.input(name, shape, 'uint8'), by)];
      }),
    ),
  );
  return { ...step, graph: preceded(prelude, graph) };
}

function lookedUp(images: Traced, by: Normalisation): Traced {
  const { builder, shape } = images;
  const table = builder.constant(tensor(byteTable(by), [BYTES * by.mean.length]));
  const starts = builder.constant(
    tensor(
      by.mean.map((_, channel) => BYTES * channel),
      [1, by.mean.length, 1, 1],
    ),
  );
  const places = cast(add(cast(images, 'float32'), starts), 'int32');
  return reshape(gather(table, reshape(places, [sizeOf(shape)])), shape as Shape);
}

/** A graph of which another one computes the inputs that its outputs are named as. */
function preceded(first: Graph, second: Graph): Graph {
  const made = new Map(first.outputs.map(({ name, value }) => [name, value]));
  const computed = new Map(second.inputs.map(({ name, value }) => [value, made.get(name)]));
  const idOf = (id: number) => computed.get(id) ?? first.values.length + id;
  const moved = ({ name, value }: Port): Port => ({ name, value: idOf(value) });
  const nodes = second.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(idOf),
    outputs: node.outputs.map(idOf),
  }));
  return {
    values: [...first.values, ...second.values],
    nodes: [...first.nodes, ...nodes],
    inputs: [...first.inputs, ...second.inputs.filter(({ name }) => !made.has(name)).map(moved)],
    outputs: second.outputs.map(moved),
  };
}
