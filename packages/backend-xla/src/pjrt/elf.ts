/** Whether a shared library can be loaded here. The loader itself ends the process where a file is shorter than its headers say. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** `e_machine`, by Node's names. */
const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };
const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;

/** @returns what is wrong with a file, or undefined. A processor that is not known here is left to the loader. */
export function libraryFault(path: string, arch: string = process.arch): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    return faultOf(file, arch);
  } catch (error) {
    return (error as Error).message;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function faultOf(file: number, arch: string): string | undefined {
  const { size } = fstatSync(file);
  const read = (at: number, bytes: number) => {
    const data = Buffer.alloc(bytes);
    return readSync(file, data, 0, bytes, at) === bytes ? data : undefined;
  };
  const head = read(0, HEADER_BYTES);
  if (head?.toString('latin1', 0, 4) !== '\x7fELF') return 'it is no shared library of Linux';
  const machine = machines[arch];
  if (machine !== undefined && head.readUInt16LE(18) !== machine)
    return `it was built for another processor than ${arch}`;
  const [start, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(56)];
  const headers = read(start, count * PROGRAM_HEADER_BYTES);
  const ends = Array.from({ length: count }, (_, i) => {
    const at = i * PROGRAM_HEADER_BYTES;
    // p_offset and p_filesz
    return headers && Number(headers.readBigUInt64LE(at + 8) + headers.readBigUInt64LE(at + 32));
  });
  return ends.every((end) => end !== undefined && end <= size) ? undefined : 'a part of it is missing';
}
