/// <reference types="node" />
import { describe, expect, it } from 'vitest';
import { bytesSource } from './byte-source.ts';
import { CheckpointError } from './errors.ts';
import { decodeSafetensors, encodeSafetensors, readSafetensors, safetensorsParts } from './safetensors.ts';
import { filled, scalar, type Tensor, tensor } from './tensor/tensor.ts';

/** A file of all dtypes, written by the Python package safetensors 0.8 from PyTorch tensors. */
const fromPython = Buffer.from(
  'cAIAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJtYWRlIjoiYnkgc2FmZXRlbnNvcnMifSwiaTY0Ijp7ImR0eXBlIjoiSTY0Iiwic2hhcGUiOlsyXSwi' +
    'ZGF0YV9vZmZzZXRzIjpbMCwxNl19LCJmNjQiOnsiZHR5cGUiOiJGNjQiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlsxNiwzMl19LCJlbXB0' +
    'eSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMCwyXSwiZGF0YV9vZmZzZXRzIjpbMzIsMzJdfSwiZjMyIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUi' +
    'OlsyLDJdLCJkYXRhX29mZnNldHMiOlszMiw0OF19LCJzY2FsYXIiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6W10sImRhdGFfb2Zmc2V0cyI6WzQ4' +
    'LDUyXX0sImkzMiI6eyJkdHlwZSI6IkkzMiIsInNoYXBlIjpbMiwxXSwiZGF0YV9vZmZzZXRzIjpbNTIsNjBdfSwiYmYxNiI6eyJkdHlwZSI6IkJG' +
    'MTYiLCJzaGFwZSI6WzNdLCJkYXRhX29mZnNldHMiOls2MCw2Nl19LCJmMTYiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzVdLCJkYXRhX29mZnNl' +
    'dHMiOls2Niw3Nl19LCJ1OCI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlsyXSwiZGF0YV9vZmZzZXRzIjpbNzYsNzhdfSwiYm9vbCI6eyJkdHlwZSI6' +
    'IkJPT0wiLCJzaGFwZSI6WzNdLCJkYXRhX29mZnNldHMiOls3OCw4MV19fSD//////////////38AAAAAmpmZmZmZuT+cdQCIPOQ3fgAAwD8AAADA' +
    'AACAPgAAgH8AAEBABwAAAPn///+AP0nAln4APAC4/3sBAAB+AP8BAAE=',
  'base64',
);

const written: Record<string, Tensor> = {
  flags: tensor([1, 0, 1], [3], 'bool'),
  weights: tensor([1.5, -2, 0.1, Number.NaN, Number.NEGATIVE_INFINITY, -0], [2, 3]),
  bytes: tensor([0, 255, 7], [3, 1], 'uint8'),
  'a name, "quoted" – é': scalar(7, 'int32'),
  none: filled([0, 4], 0),
};

/** A file with a header of the caller's making. */
function file(header: unknown, body: number): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const out = Buffer.alloc(8 + text.length + body);
  out.writeBigUInt64LE(BigInt(text.length));
  text.copy(out, 8);
  return out;
}
const entry = (from: number, to: number, shape = [2], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [from, to],
});
const read = (bytes: Uint8Array) => () => decodeSafetensors(bytes, 'model.safetensors');

describe('a file by Python', () => {
  const expected: Record<string, [dtype: string, shape: number[], data: number[]]> = {
    f32: ['float32', [2, 2], [1.5, -2, 0.25, Number.POSITIVE_INFINITY]],
    f64: ['float32', [2], [Math.fround(0.1), Number.POSITIVE_INFINITY]],
    f16: ['float32', [5], [1, -0.5, 65504, 2 ** -24, Number.NaN]],
    bf16: ['float32', [3], [1, -3.140625, Math.fround(9.969209968386869e37)]],
    i64: ['int32', [2], [-1, 2 ** 31 - 1]],
    i32: ['int32', [2, 1], [7, -7]],
    u8: ['uint8', [2], [0, 255]],
    bool: ['bool', [3], [1, 0, 1]],
    scalar: ['float32', [], [3]],
    empty: ['float32', [0, 2], []],
  };
  it.each([
    ['alone in its memory', new Uint8Array(fromPython)],
    ['a Buffer somewhere in a pool', Buffer.concat([Buffer.alloc(3), fromPython]).subarray(3)],
  ])('is read, %s', (_, bytes) => {
    const { tensors, metadata } = decodeSafetensors(bytes, 'python.safetensors');
    expect(metadata).toEqual({ made: 'by safetensors' });
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, [dtype, shape, data]] of Object.entries(expected)) {
      expect(tensors[name]!.dtype, name).toBe(dtype);
      expect(tensors[name]!.shape, name).toEqual(shape);
      expect([...tensors[name]!.data], name).toEqual(data);
    }
  });
});

describe('a round trip', () => {
  const bytes = encodeSafetensors(written, { run: 'r1' });
  it('gives types, shapes, bits and metadata back', () => {
    const { tensors, metadata } = decodeSafetensors(bytes, 'own');
    expect(metadata).toEqual({ run: 'r1' });
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(written).sort());
    for (const [name, { dtype, shape, data }] of Object.entries(written)) {
      expect(tensors[name]!.dtype).toBe(dtype);
      expect(tensors[name]!.shape).toEqual(shape);
      expect(new Uint8Array(tensors[name]!.data.buffer)).toEqual(new Uint8Array(data.buffer));
    }
  });
  it('writes a part of a larger array alone', () => {
    const part: Tensor = {
      shape: [2],
      dtype: 'float32',
      data: new Float32Array([9, 1, 2, 9]).subarray(1, 3),
    };
    expect([...decodeSafetensors(encodeSafetensors({ part }), 'own').tensors.part!.data]).toEqual([1, 2]);
  });
  it('aligns the body to 8 bytes, and each tensor to its elements, without gaps', () => {
    const size = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(size % 8).toBe(0);
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
    const offsets: [number, number][] = Object.entries(header).flatMap(([name, value]) =>
      name === '__metadata__' ? [] : [(value as { data_offsets: [number, number] }).data_offsets],
    );
    offsets.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    offsets.forEach(([from], i) => {
      expect(from).toBe(i === 0 ? 0 : offsets[i - 1]![1]);
    });
    expect(offsets.at(-1)![1]).toBe(bytes.length - 8 - size);
    expect(header.weights.data_offsets[0] % 4).toBe(0);
  });
  it('is the same of a file that is read in parts', async () => {
    expect(await readSafetensors(bytesSource('own', bytes))).toEqual(decodeSafetensors(bytes, 'own'));
    const joined = safetensorsParts(written, { run: 'r1' }).flatMap((part) => [...part]);
    expect(joined).toEqual([...bytes]);
  });
  it('keeps a tensor of any name, which is none of the object that holds it', async () => {
    const odd = file('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4);
    const { tensors } = await readSafetensors(bytesSource('odd', odd));
    expect(Object.keys(tensors)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(tensors)).toBe(Object.prototype);
  });
  it('of nothing is empty', () => {
    expect(decodeSafetensors(encodeSafetensors({}), 'own')).toEqual({ tensors: {}, metadata: {} });
  });
});

describe('what is refused', () => {
  it('a file cut off anywhere', () => {
    for (let length = 0; length < fromPython.length; length++)
      expect(read(new Uint8Array(fromPython.subarray(0, length))), `${length} bytes`).toThrow(
        CheckpointError,
      );
  });
  it('the same of a file that is read in parts', async () => {
    for (let length = 0; length < fromPython.length; length++) {
      const part = new Uint8Array(fromPython.subarray(0, length));
      await expect(readSafetensors(bytesSource('x', part)), `${length} bytes`).rejects.toThrow(
        CheckpointError,
      );
    }
  });
  it.each([
    ['no bytes', new Uint8Array(0), /has 0 bytes/],
    ['a header longer than the file', file('{}', 0).fill(9, 0, 1), /header is cut off/],
    ['an absurd header length', Buffer.alloc(16, 0xff), /header is cut off/],
    ['a header that is no JSON', file('{"a":', 0), /no JSON/],
    ['a header that is no UTF-8', file('"\xff', 0).fill(0xff, 8), /no JSON/],
    ['a header that is no object', file('7', 0), /no object/],
    ['metadata that is no object', file({ __metadata__: null }, 0), /metadata/],
    ['metadata that is no text', file({ __metadata__: { a: 1 } }, 0), /metadata/],
    ['a name that clears the screen', file({ '\x1b[2J\nw': 7 }, 0), /"\\x1b\[2J; w" is malformed/],
    ['an entry that is none', file({ w: 7 }, 0), /"w" is malformed/],
    ['a negative extent', file({ w: entry(0, 8, [-2]) }, 8), /"w" is malformed/],
    ['a negative offset', file({ w: entry(-8, 0) }, 8), /"w" is malformed/],
    ['three offsets', file({ w: { ...entry(0, 8), data_offsets: [0, 4, 8] } }, 8), /"w" is malformed/],
    ['offsets beyond the end', file({ w: entry(4, 12) }, 8), /"w" is cut off/],
    ['offsets in reverse', file({ w: entry(8, 0) }, 8), /"w" has -8 bytes/],
    ['offsets that fit another shape', file({ w: entry(0, 8, [3]) }, 8), /"w" has 8 bytes for \[3\]/],
    ['more bytes than the shape has', file({ w: entry(0, 8, [1]) }, 8), /"w" has 8 bytes for \[1\]/],
    ['a gap', file({ v: entry(0, 8), w: entry(12, 20) }, 20), /its tensors leave a gap at byte 12/],
    ['tensors over each other', file({ v: entry(0, 8), w: entry(4, 12) }, 12), /overlap at byte 4/],
    ['bytes behind the last tensor', file({ w: entry(0, 8) }, 9), /1 bytes at its end belong to no tensor/],
    ['a dtype of the prototype', file({ w: entry(0, 2, [2], 'toString') }, 2), /dtype toString/],
    ['an unknown dtype', file({ w: entry(0, 2, [2], 'F8_E4M3') }, 2), /dtype F8_E4M3/],
    [
      'a boolean of 2',
      Buffer.concat([file({ w: entry(0, 2, [2], 'BOOL') }, 1), Buffer.of(2)]),
      /"w" holds booleans other/,
    ],
  ])('%s', (_, bytes, why) => {
    expect(read(bytes)).toThrow(CheckpointError);
    expect(read(bytes)).toThrow(why);
    expect(read(bytes)).toThrow(/^model.safetensors is no readable safetensors file: /);
  });
  it('a 64-bit integer that does not fit', () => {
    const bytes = file({ n: entry(0, 8, [1], 'I64') }, 8);
    new DataView(bytes.buffer, bytes.byteOffset).setBigInt64(bytes.length - 8, 2n ** 31n, true);
    expect(read(bytes)).toThrow(/"n" holds 2147483648/);
  });
});
