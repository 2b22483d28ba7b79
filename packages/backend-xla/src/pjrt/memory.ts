/** What C reads and writes: argument structs, byte strings, lists of words. */
import koffi from 'koffi';
import type { Struct } from './layout.ts';

/** A pointer, size or handle, as PJRT's 64-bit platforms have them. */
export type Word = bigint;

/** The address of memory that stays referenced by its view; 0 for none. */
export const addressOf = (memory: ArrayBufferView | ArrayBuffer | undefined): Word =>
  memory === undefined ? 0n : BigInt(koffi.address(memory));

/** A struct in memory of its own. What its fields point to is kept alive with it. */
export class CStruct<S extends Struct = Struct> {
  readonly bytes: ArrayBuffer;
  private readonly view: DataView;
  private readonly layout: S;
  private readonly kept: unknown[] = [];

  constructor(layout: S) {
    this.layout = layout;
    this.bytes = new ArrayBuffer(layout.size);
    this.view = new DataView(this.bytes);
    this.view.setBigUint64(0, BigInt(layout.size), true);
  }

  private at(field: string): number {
    const offset = this.layout.offsets[field];
    if (offset === undefined) throw new RangeError(`the struct has no field "${field}"`);
    return offset;
  }

  word(field: string, value: Word | number): this {
    this.view.setBigUint64(this.at(field), BigInt.asUintN(64, BigInt(value)), true);
    return this;
  }

  int(field: string, value: number): this {
    this.view.setInt32(this.at(field), value, true);
    return this;
  }

  /** A pointer to memory, which lives as long as this. */
  pointer(field: string, memory: ArrayBufferView | ArrayBuffer | CStruct): this {
    return this.keep(memory).word(field, addressOf(memory instanceof CStruct ? memory.bytes : memory));
  }

  /** Keeps memory alive as long as this, to which C knows the address alone. */
  keep(memory: unknown): this {
    this.kept.push(memory);
    return this;
  }

  /** A pointer to a list or text, and its length in another field. */
  list(field: string, sizeField: string, memory: Uint8Array | BigUint64Array | BigInt64Array): this {
    return this.pointer(field, memory).word(sizeField, memory.length);
  }

  readWord(field: string): Word {
    return this.view.getBigUint64(this.at(field), true);
  }

  readInt(field: string): number {
    return this.view.getInt32(this.at(field), true);
  }

  readBool(field: string): boolean {
    return this.view.getUint8(this.at(field)) !== 0;
  }
}

/** UTF-8 in memory of its own, whose address is its first byte's. */
export function textBytes(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  const own = new Uint8Array(new ArrayBuffer(encoded.length));
  own.set(encoded);
  return own;
}

/** 64-bit words: pointers or sizes. Never empty, since C may look at the address of a list of none. */
export function words(values: readonly (Word | number)[]): BigUint64Array {
  const list = new BigUint64Array(Math.max(1, values.length));
  values.forEach((value, i) => {
    list[i] = BigInt.asUintN(64, BigInt(value));
  });
  return values.length === 0 ? list.subarray(0, 0) : list;
}

/** A copy of `count` words at an address. */
export function wordsAt(address: Word, count: number): Word[] {
  return count === 0 ? [] : [...new BigUint64Array(koffi.view(address, count * 8).slice(0))];
}

/** A copy of the text at an address. */
export function textAt(address: Word, bytes: number): string {
  return bytes === 0 ? '' : new TextDecoder().decode(koffi.view(address, bytes).slice(0));
}
