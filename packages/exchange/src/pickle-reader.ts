/** The parts that a pickle's opcodes are followed by: numbers, texts, lines. */
import type { Value } from './values.ts';

/** A pickle that is damaged, asks for too much, or for what is not read here. */
export class PickleError extends Error {
  override name = 'PickleError';
  /** The bytes end before the pickle does. */
  readonly cutOff: boolean;

  constructor(message: string, cutOff = false) {
    super(message);
    this.cutOff = cutOff;
  }
}

/** A pickle that asks for more than plain containers and tensors: a class, a function, a call. */
export class RefusedError extends PickleError {
  override name = 'RefusedError';
  /** What it asks for: the name of a class or a function, where it is one. */
  readonly what: string;

  /** @param at the byte of the opcode that asks */
  constructor(what: string, at?: number) {
    super(`refuses ${what}${at === undefined ? '' : ` at byte ${at}`}`);
    this.what = what;
  }
}

/** Digits of an integer, in bytes; the standard library's own limit is 4,300 decimal digits. */
const maxInteger = 1024;
const maxLine = 4096;

export class PickleReader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array, at: number) {
    this.at = at;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Moves on by `length` bytes, and tells where they begin. */
  #skip(length: number): number {
    const start = this.at;
    if (start + length > this.#bytes.length) throw new PickleError('it is cut off', true);
    this.at = start + length;
    return start;
  }

  uint8(): number {
    return this.#bytes[this.#skip(1)]!;
  }
  uint16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }
  int32(): number {
    return this.#view.getInt32(this.#skip(4), true);
  }
  uint32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }
  /** As a length: anything above what a file can have is cut off. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#skip(8), true));
  }
  /** Big-endian, as pickles have it. */
  float64(): number {
    return this.#view.getFloat64(this.#skip(8));
  }
  bytes(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.slice(start, start + length);
  }
  text(length: number): string {
    const start = this.#skip(length);
    try {
      return this.#utf8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw new PickleError('a text is no UTF-8');
    }
  }
  /** Up to a line feed, without it. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.at);
    if (end < 0 || end - this.at > maxLine)
      throw new PickleError('a line has no end', end < 0 && this.#bytes.length - this.at < maxLine);
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }
  /** A two's complement integer of any width. */
  integer(length: number): Value {
    if (length > maxInteger) throw new PickleError(`an integer has ${length} bytes`);
    const bytes = this.bytes(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return narrow(BigInt.asIntN(8 * length, value));
  }
  /** `12`, `12L`; `00` and `01` are False and True. */
  integerLine(): Value {
    const text = this.line().replace(/L$/, '');
    if (text === '00') return false;
    if (text === '01') return true;
    if (!/^-?\d{1,1000}$/.test(text)) throw new PickleError('an integer is none');
    return narrow(BigInt(text));
  }
}

function narrow(value: bigint): number | bigint {
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}
