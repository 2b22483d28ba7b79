/** A lowering in which a value may be held in several layouts, converted on first use. */
import { consumers, type Graph, type Node, type Shape } from '@moco-ts/core';
import { PlainLowering } from '@moco-ts/onnx';
import { fitsData, type Layout, tileShape } from './layout.ts';

/** A depthwise affine map of `data` that is not computed yet: what follows may be fused into it. */
export interface Pending {
  /**
   * @param addend a value in the `data` layout, of the result's shape, to add
   * @param relu whether to apply relu last
   * @returns the result's name, in the `data` layout
   */
  emit(addend: string | undefined, relu: boolean): string;
}

/** A value times a single number, not computed yet: what is added to it may be fused into it. */
export interface Scaled {
  readonly layout: Layout;
  readonly value: number;
  readonly factor: string;
  /** The factor where it is constant. */
  readonly constant: number | undefined;
}

/** An order of rows: runs of `unit` consecutive ones, by the number of the run. */
export interface RowOrder {
  readonly unit: number;
  readonly runs: Int32Array;
  /** Whether there is a row of zeros, which is the one after the last. */
  readonly zeros: boolean;
}

export const nchwc = 'com.microsoft.nchwc';

export class BlockedLowering extends PlainLowering {
  readonly block: number;
  private readonly stored = { data: new Map<number, string>(), filter: new Map<number, string>() };
  private readonly tiles: Readonly<Record<Layout, Map<number, string>>> = {
    plain: new Map(),
    data: new Map(),
    filter: new Map(),
  };
  private readonly pending = new Map<number, Pending>();
  private readonly scaled = new Map<number, Scaled>();
  private readonly replaced = new Map<number, number>();
  private readonly orders = new Map<string, RowOrder>();
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
    const held = (layout: 'data' | 'filter') =>
      this.stored[layout].has(value) ||
      this.tiles[layout].has(value) ||
      this.scaled.get(value)?.layout === layout;
    if (held('data') || this.pending.has(value)) return 'data';
    return held('filter') ? 'filter' : 'plain';
  }

  setIn(layout: Layout, value: number, name: string): void {
    if (layout === 'plain') this.set(value, name);
    else this.stored[layout].set(value, name);
  }

  getIn(layout: Layout, value: number): string {
    if (layout === 'plain') return this.get(value);
    return layout === 'data' ? this.data(value) : this.filter(value);
  }

  /** Whether a value is, or comes as, a flattened tile. */
  hasTile(value: number): boolean {
    return this.scaled.has(value) || Object.values(this.tiles).some((known) => known.has(value));
  }

  /** A value in the order of a layout, as {@link tileShape}. */
  tile(layout: Layout, value: number): string {
    const known = this.tiles[layout].get(value);
    if (known !== undefined) return known;
    const scaled = this.scaled.get(value);
    const name =
      scaled?.layout === layout
        ? this.scale(scaled)
        : this.reshape(this.getIn(layout, value), tileShape(this.shape(value), this.block)!);
    this.tiles[layout].set(value, name);
    return name;
  }

  setTile(layout: Layout, value: number, name: string): void {
    this.tiles[layout].set(value, name);
  }

  /** factor * value + addend, as a flattened tile. */
  scale({ layout, value, factor }: Scaled, addend?: string): string {
    return this.multiplyAdd(this.tile(layout, value), factor, addend);
  }

  /** A flattened tile times a number, plus another tile. */
  multiplyAdd(tile: string, factor: string, addend?: string): string {
    const filter = this.once(`factor ${factor}`, () => {
      const single = this.reshape(factor, [1, 1, 1, 1]);
      return this.onnx.op('Expand', [single, this.onnx.ints([this.block, 1, 1, 1])]);
    });
    const inputs = addend === undefined ? [tile, filter] : [tile, filter, '', addend];
    return this.onnx.op('Conv', inputs, { kernel_shape: [1, 1], group: this.block }, nchwc);
  }

  /** Says that a value is a state's new one. */
  replaces(value: number, old: number): void {
    this.replaced.set(value, old);
  }

  /** The state's old value that this one replaces. */
  replacedBy(value: number): number | undefined {
    return this.replaced.get(value);
  }

  /** Puts off a computation; see {@link Pending}. */
  defer(value: number, pending: Pending): void {
    this.pending.set(value, pending);
  }

  /** A computation put off whose only reader is asking: it may be fused. */
  takePending(value: number): Pending | undefined {
    return this.readOnce(value) && !this.stored.data.has(value) ? this.pending.get(value) : undefined;
  }

  /** Puts off a product; see {@link Scaled}. */
  deferScaled(value: number, scaled: Scaled): void {
    this.scaled.set(value, scaled);
  }

  /** A product put off whose only reader is asking: it may be fused. */
  takeScaled(value: number): Scaled | undefined {
    return this.readOnce(value) ? this.scaled.get(value) : undefined;
  }

  private readOnce(value: number): boolean {
    const isOutput = this.graph.outputs.some((port) => port.value === value);
    return this.readers.get(value)?.length === 1 && !isOutput;
  }

  /** A value from its tile in a layout, if it has one there. */
  private fromTile(layout: Layout, value: number): string | undefined {
    if (this.scaled.get(value)?.layout === layout) this.tile(layout, value);
    const tile = this.tiles[layout].get(value);
    return tile === undefined ? undefined : this.reshape(tile, this.shape(value));
  }

  override get(value: number): string {
    if (this.names.has(value)) return super.get(value);
    const plain = this.fromTile('plain', value);
    if (plain !== undefined) {
      this.set(value, plain);
    } else if (this.layoutOf(value) === 'data') {
      const channels = this.shape(value)[1]!;
      this.set(value, this.onnx.op('ReorderOutput', [this.data(value)], { channels }, nchwc));
    } else if (this.layoutOf(value) === 'filter') {
      this.set(value, this.unblockFilter(this.filter(value), this.shape(value)));
    }
    return super.get(value);
  }

  /** A value in the `data` layout. */
  data(value: number): string {
    const known = this.stored.data.get(value);
    if (known !== undefined) return known;
    const name =
      this.pending.get(value)?.emit(undefined, false) ??
      this.fromTile('data', value) ??
      this.blockData(this.get(value));
    this.stored.data.set(value, name);
    return name;
  }

  /** A value in the `filter` layout. */
  filter(value: number): string {
    const known = this.stored.filter.get(value);
    if (known !== undefined) return known;
    const name = this.fromTile('filter', value) ?? this.blockFilter(this.get(value), this.shape(value));
    this.stored.filter.set(value, name);
    return name;
  }

  /** An order of rows, worked out once for each key. */
  order(key: string, make: () => RowOrder): RowOrder {
    const known = this.orders.get(key) ?? make();
    this.orders.set(key, known);
    return known;
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
