import { describe, expect, it } from 'vitest';
import { readTorch } from './read.ts';
import { bytesSource } from './source.ts';
import { bytes, fixture, length } from './testing.ts';
import type { TensorRef } from './values.ts';

/** Before PyTorch 0.4, tensors of one storage could be saved as parts of it: (key, first element, elements). */
function withPart(part: Uint8Array): Uint8Array {
  const text = (value: string) => bytes('X', length(value.length), value);
  const storage = bytes(
    '(',
    text('storage'),
    'ctorch\nShortStorage\n',
    text('root'),
    text('cpu'),
    'K\x06',
    part,
    'tQ',
  );
  const tensor = bytes('ctorch._utils\n_rebuild_tensor\n(', storage, 'K\x01(K\x02t(K\x01tt', 'R');
  return bytes(
    // The magic number, the protocol and the machine.
    fixture('hostile-legacy.pth').subarray(0, 137),
    ...[0x80, 2, '}', text('w'), tensor, 's.'],
    ...[0x80, 2, ']', text('root'), 'a.'],
    ...[6, '\0\0\0\0\0\0\0', '\x01\0\x02\0\x03\0\x04\0\x05\0\x06\0'],
  );
}
const open = (part: Uint8Array) => readTorch(bytesSource('x.pth', withPart(part)));

describe('a tensor in a part of a storage', () => {
  it('is counted from where the part begins', async () => {
    const { value, read } = await open(bytes('(X', length(1), 'vK\x02K\x03t'));
    const { w } = Object.fromEntries(await read(value as Map<string, TensorRef>));
    expect(w).toEqual({ shape: [2], dtype: 'int32', data: Int32Array.of(4, 5) });
  });
  it('is refused beyond the part, or the part beyond the storage', async () => {
    await expect(open(bytes('(X', length(1), 'vK\x02K\x02t'))).rejects.toThrow(/beyond its storage of 2/);
    await expect(open(bytes('(X', length(1), 'vK\x04K\x03t'))).rejects.toThrow(
      /a part of a storage is malformed/,
    );
  });
});
