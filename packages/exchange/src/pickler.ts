/** Writes Python's pickles of plain values; how a tensor looks is a format's own affair. */
import type { Tensor } from '@moco-ts/core';
import { aboutKey } from './layout.ts';

/** What can be written: tensors, plain values, and dicts of those. */
export type Writable =
  | Tensor
  | StateDict
  | string
  | number
  | boolean
  | null
  | { readonly [key: string]: Writable };

/**
 * Tensors by name as an OrderedDict that has a text beside its items, as the attribute {@link aboutKey}: it stays with
 * the tensors through torch.load and torch.save, and load_state_dict does not see it.
 */
export class StateDict {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly about: string;

  constructor(tensors: Readonly<Record<string, Tensor>>, about: string) {
    this.tensors = tensors;
    this.about = about;
  }
}

/** Writes the opcodes of one tensor. */
export type PickleTensor = (out: Pickler, tensor: Tensor) => void;

export const encodeText = (value: string) => new TextEncoder().encode(value);

/** Without a memo: nothing in these pickles is shared but the storages of torch.save, and those have keys. */
export class Pickler {
  readonly #tensor: PickleTensor;
  readonly #parts: Uint8Array[];

  constructor(protocol: 2 | 3, tensor: PickleTensor) {
    this.#tensor = tensor;
    this.#parts = [new Uint8Array([0x80, protocol])];
  }

  /** The pickle in parts, each array of tensors that was written by {@link bytes} as it is. */
  end(): readonly Uint8Array[] {
    this.code('.');
    return this.#parts;
  }

  value(value: Writable): void {
    if (value === null) this.code('N');
    else if (typeof value === 'boolean') this.#parts.push(new Uint8Array([value ? 0x88 : 0x89]));
    else if (typeof value === 'string') this.text(value);
    else if (typeof value === 'number') this.number(value);
    else if (value instanceof StateDict) this.#stateDict(value);
    else if (isTensor(value)) this.#tensor(this, value);
    else this.#dict(value);
  }

  /** Opcodes and their arguments as text. */
  code(code: string): void {
    this.#parts.push(encodeText(code));
  }

  /** BINUNICODE */
  text(value: string): void {
    this.#sized('X', encodeText(value));
  }

  /** BINBYTES, of protocol 3 */
  bytes(value: Uint8Array): void {
    this.#sized('B', value);
  }

  /** BININT, or BINFLOAT for what is no 32-bit integer. */
  number(value: number): void {
    const isInt32 = value === (value | 0) && !Object.is(value, -0);
    const bytes = new Uint8Array(isInt32 ? 5 : 9);
    bytes[0] = isInt32 ? 0x4a : 0x47;
    const view = new DataView(bytes.buffer);
    if (isInt32) view.setInt32(1, value, true);
    else view.setFloat64(1, value);
    this.#parts.push(bytes);
  }

  /** A tuple. */
  integers(values: readonly number[]): void {
    this.code('(');
    for (const value of values) this.number(value);
    this.code('t');
  }

  #sized(code: string, bytes: Uint8Array): void {
    const head = new Uint8Array(5);
    head[0] = code.charCodeAt(0);
    new DataView(head.buffer).setUint32(1, bytes.length, true);
    this.#parts.push(head, bytes);
  }

  #dict(value: { readonly [key: string]: Writable }): void {
    this.code('}');
    this.#items(value);
  }

  #stateDict({ tensors, about }: StateDict): void {
    this.code('ccollections\nOrderedDict\n)R');
    this.#items(tensors);
    this.#dict({ [aboutKey]: about });
    this.code('b');
  }

  #items(value: { readonly [key: string]: Writable }): void {
    this.code('(');
    for (const [key, item] of Object.entries(value)) {
      this.text(key);
      this.value(item);
    }
    this.code('u');
  }
}

function isTensor(value: Exclude<Writable, null>): value is Tensor {
  return typeof value === 'object' && ArrayBuffer.isView((value as Tensor).data);
}

export const tensorBytes = ({ data }: Tensor) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
