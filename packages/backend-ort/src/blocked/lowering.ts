/** A lowering in which a value may be held in several layouts, converted where one is first asked for. */
import { consumers, type Graph, type Node, type Shape } from '@moco-ts/core';
import { PlainLowering } from '@moco-ts/onnx';
import { fitsData, type Layout } from './layout.ts';

/** A depthwise affine map that is not computed yet: what follows may be fused into it. */
export interface Pending {
  /**
   * @param addend a value in the `data` layout, of the result's shape, to add
   * @param relu whether to apply relu last
   * @returns the result's name, in the `data` layout
   */
  emit(addend: string | undefined, relu: boolean): string;
}

export const nchwc = 'com.microsoft.nchwc';

export class BlockedLowering extends PlainLowering {
  readonly block: number;
  private readonly stored = { data: new Map<number, string>(), filter: new Map<number, string>() };
  private readonly pending = new Map<number, Pending>();
  private readonly readers: ReadonlyMap<number, readonly Node[]>;

  constructor(graph: Graph, block: number) {
    super(graph, { contrib: true });
    this.block = block;
    this.readers = consumers(graph);
  }

  shape(value: number): Shape {
    return this.graph.values[value]!.shape;
  }

  /** The layout in which a value can be had without a conversion; `data` before the others. */
  layoutOf(value: number): Layout {
    if (this.stored.data.has(value) || this.pending.has(value)) return 'data';
    return this.stored.filter.has(value) ? 'filter' : 'plain';
  }

  setIn(layout: Layout, value: number, name: string): void {
    if (layout === 'plain') this.set(value, name);
    else this.stored[layout].set(value, name);
  }

  getIn(layout: Layout, value: number): string {
    if (layout === 'plain') return this.get(value);
    return layout === 'data' ? this.data(value) : this.filter(value);
  }

  /** Puts off a computation; see {@link Pending}. */
  defer(value: number, pending: Pending): void {
    this.pending.set(value, pending);
  }

  /** A computation put off whose only reader is asking: it may be fused. */
  takePending(value: number): Pending | undefined {
    const alone = this.readers.get(value)?.length === 1 && !this.isOutput(value);
    return alone && !this.stored.data.has(value) ? this.pending.get(value) : undefined;
  }

  private isOutput(value: number): boolean {
    return this.graph.outputs.some((port) => port.value === value);
  }

  override get(value: number): string {
    if (this.names.has(value)) return super.get(value);
    if (this.layoutOf(value) === 'data') {
      const channels = this.shape(value)[1]!;
      this.set(value, this.onnx.op('ReorderOutput', [this.data(value)], { channels }, nchwc));
    } else if (this.stored.filter.has(value)) {
      this.set(value, this.unblockFilter(this.stored.filter.get(value)!, this.shape(value)));
    }
    return super.get(value);
  }

  /** A value in the `data` layout. */
  data(value: number): string {
    const known = this.stored.data.get(value);
    if (known !== undefined) return known;
    const pending = this.pending.get(value);
    const name = pending ? pending.emit(undefined, false) : this.blockData(this.get(value));
    this.stored.data.set(value, name);
    return name;
  }

  /** A value in the `filter` layout. */
  filter(value: number): string {
    const known = this.stored.filter.get(value);
    if (known !== undefined) return known;
    const name = this.blockFilter(this.get(value), this.shape(value));
    this.stored.filter.set(value, name);
    return name;
  }

  fitsData(value: number): boolean {
    return fitsData(this.shape(value), this.block);
  }

  reshape(name: string, shape: Shape): string {
    return this.onnx.op('Reshape', [name, this.onnx.ints(shape)]);
  }

  transpose(name: string, perm: readonly number[]): string {
    return this.onnx.op('Transpose', [name], { perm });
  }

  blockData(name: string): string {
    return this.onnx.op('ReorderInput', [name], {}, nchwc);
  }

  private blockFilter(name: string, shape: Shape): string {
    const [outputs, inputs, height, width] = shape as [number, number, number, number];
    const b = this.block;
    const split = this.reshape(name, [outputs / b, b, inputs / b, b, height * width]);
    return this.reshape(this.transpose(split, [0, 2, 4, 3, 1]), shape);
  }

  private unblockFilter(name: string, shape: Shape): string {
    const [outputs, inputs, height, width] = shape as [number, number, number, number];
    const b = this.block;
    const split = this.reshape(name, [outputs / b, inputs / b, height * width, b, b]);
    return this.reshape(this.transpose(split, [0, 4, 1, 3, 2]), shape);
  }
}
