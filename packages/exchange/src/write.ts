/** Writes files that `torch.load(..., weights_only=True)` reads. */
import { type DType, stridesOf, type Tensor } from '@moco-ts/core';
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
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

const storageTypes: Readonly<Record<DType, string>> = {
  float32: 'FloatStorage',
  int32: 'IntStorage',
  uint8: 'ByteStorage',
  bool: 'BoolStorage',
};

/**
 * The bytes of a file as torch.save writes it (zip format, little-endian, pickle protocol 2). The same value gives the
 * same bytes. Tensors that share their data share a storage.
 */
export async function encodeTorch(value: Writable): Promise<Uint8Array> {
  const { pickle, storages } = pickled(value);
  // The time of each record, the same for all; time zones are read from and written to the machine's own.
  const lastModDate = new Date(1980, 0, 1);
  const writer = new ZipWriter(new Uint8ArrayWriter(), {
    level: 0,
    dataDescriptor: false,
    extendedTimestamp: false,
    lastModDate,
    useWebWorkers: false,
  });
  const add = (name: string, bytes: Uint8Array) => writer.add(`archive/${name}`, new Uint8ArrayReader(bytes));
  await add('data.pkl', pickle);
  await add('byteorder', text('little'));
  for (const [at, data] of storages.entries())
    await add(`data/${at}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  await add('version', text('3\n'));
  return writer.close();
}

const text = (value: string) => new TextEncoder().encode(value);

function pickled(value: Writable): { pickle: Uint8Array; storages: Tensor['data'][] } {
  const out = new Pickler();
  out.value(value);
  return { pickle: out.end(), storages: [...out.storages.keys()] };
}

/** Protocol 2, without a memo: nothing that torch.load cares about is shared but storages, and those have keys. */
class Pickler {
  readonly storages = new Map<Tensor['data'], string>();
  readonly #parts: Uint8Array[] = [new Uint8Array([0x80, 2])];

  end(): Uint8Array {
    this.#code('.');
    const joined = new Uint8Array(this.#parts.reduce((size, { length }) => size + length, 0));
    let at = 0;
    for (const part of this.#parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  value(value: Writable): void {
    if (value === null) this.#code('N');
    else if (typeof value === 'boolean') this.#parts.push(new Uint8Array([value ? 0x88 : 0x89]));
    else if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'number') this.#number(value);
    else if (value instanceof StateDict) this.#stateDict(value);
    else if (isTensor(value)) this.#tensor(value);
    else this.#dict(value);
  }

  #code(code: string): void {
    this.#parts.push(text(code));
  }

  /** BINUNICODE */
  #text(value: string): void {
    const bytes = text(value);
    const head = new Uint8Array(5);
    head[0] = 0x58;
    new DataView(head.buffer).setUint32(1, bytes.length, true);
    this.#parts.push(head, bytes);
  }

  /** BININT, or BINFLOAT for what is no 32-bit integer. */
  #number(value: number): void {
    const isInt32 = value === (value | 0) && !Object.is(value, -0);
    const bytes = new Uint8Array(isInt32 ? 5 : 9);
    bytes[0] = isInt32 ? 0x4a : 0x47;
    const view = new DataView(bytes.buffer);
    if (isInt32) view.setInt32(1, value, true);
    else view.setFloat64(1, value);
    this.#parts.push(bytes);
  }

  #dict(value: { readonly [key: string]: Writable }): void {
    this.#code('}');
    this.#items(value);
  }

  #stateDict({ tensors, about }: StateDict): void {
    this.#code('ccollections\nOrderedDict\n)R');
    this.#items(tensors);
    this.#dict({ [aboutKey]: about });
    this.#code('b');
  }

  #items(value: { readonly [key: string]: Writable }): void {
    this.#code('(');
    for (const [key, item] of Object.entries(value)) {
      this.#text(key);
      this.value(item);
    }
    this.#code('u');
  }

  #integers(values: readonly number[]): void {
    this.#code('(');
    for (const value of values) this.#number(value);
    this.#code('t');
  }

  /** `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())` */
  #tensor({ dtype, shape, data }: Tensor): void {
    const key = this.storages.get(data) ?? String(this.storages.size);
    this.storages.set(data, key);
    this.#code('ctorch._utils\n_rebuild_tensor_v2\n(');
    this.#code('(');
    this.#text('storage');
    this.#code(`ctorch\n${storageTypes[dtype]}\n`);
    this.#text(key);
    this.#text('cpu');
    this.#number(data.length);
    this.#code('tQ');
    this.#number(0);
    this.#integers(shape);
    this.#integers(stridesOf(shape));
    this.value(false);
    this.#code('ccollections\nOrderedDict\n)RtR');
  }
}

function isTensor(value: Exclude<Writable, null>): value is Tensor {
  return typeof value === 'object' && ArrayBuffer.isView((value as Tensor).data);
}
