/** What the tests share: PyTorch's files, and pickles written by hand. */
import { bytesSource } from './source.ts';

// Node's, for tests alone; this package has the types of neither Node nor vitest.
declare const process: { getBuiltinModule(id: 'node:fs'): { readFileSync(path: URL): Uint8Array } };

const { readFileSync } = process.getBuiltinModule('node:fs');
const folder = new URL('../../../parity/fixtures/exchange/', import.meta.url);

/** A file that PyTorch saved. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(name, folder)));
}

export const fixtureSource = (name: string) => bytesSource(name, fixture(name));

/** What PyTorch read and computed. */
export function expected<T>(): T {
  return JSON.parse(new TextDecoder().decode(fixture('expected.json'))) as T;
}

export type Part = string | number | Uint8Array;

/** Bytes from texts (one character a byte), bytes and parts. */
export function bytes(...parts: Part[]): Uint8Array {
  const codes = parts.flatMap((part) =>
    typeof part === 'string'
      ? Array.from(part, (character) => character.charCodeAt(0))
      : typeof part === 'number'
        ? [part]
        : Array.from(part),
  );
  return Uint8Array.from(codes);
}

/** A 32-bit length as the opcodes have it. */
export function length(value: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, value, true);
  return out;
}
