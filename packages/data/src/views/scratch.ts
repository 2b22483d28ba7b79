const buffers = new Map<string, Uint8Array>();

/**
 * A buffer of at least `length` bytes under a name, kept for the next call. The caller must be done with it before
 * anything else asks for the same name: views are computed one at a time per thread.
 */
export function scratch(name: string, length: number): Uint8Array {
  let buffer = buffers.get(name);
  if (buffer === undefined || buffer.length < length) {
    buffer = new Uint8Array(Math.ceil(length * 1.25));
    buffers.set(name, buffer);
  }
  return buffer;
}
