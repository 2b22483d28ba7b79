/** Where a file's bytes come from: memory, a file handle, a Blob. Large files need not be read as a whole. */
import { CheckpointError, UserError } from './errors.ts';

export interface ByteSource {
  /** The file's name, for messages. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`; never asked for more than there is. Bytes that are the whole of their buffer
   * belong to the caller.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A file that is in memory already. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/**
 * @throws CheckpointError when the file ends before
 * @throws UserError when it changed meanwhile: nothing is known of its bytes then
 */
export async function readExactly(source: ByteSource, offset: number, length: number): Promise<Uint8Array> {
  if (offset + length > source.size) throw new CheckpointError(`${source.name} is cut off`);
  const bytes = await source.read(offset, length);
  if (bytes.length !== length) throw new UserError(`${source.name} changed while it was read`);
  return bytes;
}

/** Bytes one part after the other, as one array. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
