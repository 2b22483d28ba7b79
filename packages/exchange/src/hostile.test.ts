import { CheckpointError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { readTorch } from './read.ts';
import { bytesSource } from './source.ts';
import { bytes, fixture, fixtureSource, length, type Part } from './testing.ts';

const read = (...parts: Part[]) => readTorch(bytesSource('x.pth', bytes(...parts)));

describe('code', () => {
  it.each(['hostile.pth', 'hostile-legacy.pth'])(
    'in %s, saved by PyTorch, is refused by name',
    async (name) => {
      await expect(readTorch(fixtureSource(name))).rejects.toThrow(
        new RegExp(
          `^${name}: refuses posix\\.system at byte \\d+.*: only tensors and plain containers are read$`,
        ),
      );
    },
  );
  it.each([
    ['a global', 'cos\nsystem\n(X\x02\0\0\0lstR.', 'refuses os.system at byte 2'],
    ['a stack global', '\x8c\x02os\x8c\x06system\x93.', 'refuses os.system at byte 14'],
    ['eval', 'c__builtin__\neval\n.', 'refuses __builtin__.eval'],
    ['getattr', 'cbuiltins\ngetattr\n.', 'refuses builtins.getattr'],
    [
      'a class of torch',
      'ctorch.nn.modules.linear\nLinear\n)\x81.',
      'refuses torch.nn.modules.linear.Linear',
    ],
    ['a name up from a module', 'ctorch\n_utils.os.system\n.', 'refuses torch._utils.os.system'],
    ['an object of the prototype', 'cconstructor\nconstructor\n.', 'refuses constructor.constructor'],
    ['INST', '(ios\nsystem\n.', 'refuses INST at byte 3'],
    ['OBJ', '(cos\nsystem\no.', 'refuses os.system at byte 3'],
    ['an extension', '\x82\x01.', 'refuses EXT1 at byte 2'],
    ['attributes of a list', ']}b.', 'refuses attributes of what is no plain container at byte 4'],
    ['a call of a text', 'X\x02\0\0\0os)R.', 'refuses a call of what is no function at byte 10'],
    ['a name with escapes', 'c\x1b[2Jevil\nx\n.', 'refuses \\x1b[2Jevil.x at byte 2'],
  ])('as %s is refused', async (_, pickle, message) => {
    await expect(read(0x80, 2, pickle)).rejects.toThrow(`x.pth: ${message}`);
    await expect(read(0x80, 2, pickle)).rejects.toThrow(/: only tensors and plain containers are read$/);
    await expect(read(0x80, 2, pickle)).rejects.toThrow(CheckpointError);
  });
});

/** A legacy file of one pickle behind the three that belong in front, with no storages. */
const legacy = (...pickle: Part[]) =>
  read(fixture('hostile-legacy.pth').subarray(0, 137), 0x80, 2, ...pickle, 0x80, 2, '].');

describe('what would take memory or time', () => {
  it('is small in a plain file', async () => {
    expect((await legacy('}.')).value).toEqual(new Map());
  });
  const storage = (elements: Uint8Array) =>
    bytes(
      '(X',
      length(7),
      'storage',
      'ctorch\nFloatStorage\nX',
      length(1),
      '0',
      'X',
      length(3),
      'cpuJ',
      elements,
      'tQ',
    );
  const rebuild = 'ctorch._utils\n_rebuild_tensor_v2\n(';
  it.each<[string, Part[], RegExp]>([
    ['a text of 4 GB', ['X', length(0xffffffff)], /cut off/],
    ['bytes of 2^64', [0x8e, '\xff\xff\xff\xff\xff\xff\xff\xff'], /cut off/],
    ['an integer of 2 GB', [0x8b, length(0x7fffffff)], /an integer has 2147483647 bytes/],
    ['digits without end', ['I', '9'.repeat(4000), '\n.'], /an integer is none/],
    ['a line without end', ['c', 'a'.repeat(5000), '\n.'], /a line has no end/],
    ['a memo without it', ['h', 9, '.'], /its memo has no 9/],
    ['an empty stack', ['.'], /its stack is empty/],
    ['values left over', ['NN.'], /values left over/],
    ['a mark that is missing', ['u.'], /a mark is missing/],
    ['a list as a key', ['}]Ns.'], /a key of a dict is no plain value/],
    ['an unknown opcode', [0xff, '.'], /byte 139 is no opcode/],
    ['a future protocol', [0x80, 9, 'N.'], /protocol 9 is unknown/],
    [
      'a set over and over',
      [']q\0(', 'N'.repeat(1000), 'e', 'c__builtin__\nset\nq\x010', 'h\x01h\0\x85R0'.repeat(2100), 'N.'],
      /more values than any network has/,
    ],
    [
      'bytes over and over',
      [
        'X',
        length(64000),
        'a'.repeat(64000),
        'q\x000X',
        length(6),
        'latin1q\x010c_codecs\nencode\nq\x020',
        'h\x02h\0h\x01\x86R0'.repeat(2100),
        'N.',
      ],
      /more values than any network has/,
    ],
    [
      'a storage that is not there',
      [rebuild, storage(length(2 ** 30)), 'K\0(J', length(2 ** 30), 't(K\x01t', 0x89, '}tR.'],
      /the storage 0 is missing/,
    ],
    [
      'a view beyond its storage',
      [rebuild, storage(length(4)), 'K\x01(K\x04t(K\x01t', 0x89, '}tR.'],
      /reaches beyond its storage of 4/,
    ],
    [
      'a negative extent',
      [rebuild, storage(length(4)), 'K\0(J\xff\xff\xff\xfft(K\x01t', 0x89, '}tR.'],
      /a tensor has arguments/,
    ],
    ['a storage of -1 elements', [rebuild, storage(length(0xffffffff))], /a storage is malformed/],
    [
      '100 axes',
      [
        rebuild,
        storage(length(4)),
        'K\0(',
        'K\x01'.repeat(100),
        't(',
        'K\x01'.repeat(100),
        't',
        0x89,
        '}tR.',
      ],
      /a tensor has arguments/,
    ],
  ])('%s: refused', async (_, pickle, message) => {
    await expect(legacy(...pickle)).rejects.toThrow(message);
    await expect(legacy(...pickle)).rejects.toThrow(CheckpointError);
  });

  it('is none in containers that hold themselves, or lie 100,000 deep', async () => {
    const { value } = await legacy(']q\0h\0a.');
    expect((value as unknown[])[0]).toBe(value);
    expect((await legacy(']'.repeat(100_000), 'a'.repeat(99_999), '.')).value).toHaveLength(1);
  });

  it('is refused when views repeat a storage', async () => {
    const tail = bytes(length(1), 0, 0, 0, 0, 0, 0, 0, 0);
    const pickle = bytes(rebuild, storage(length(1)), 'K\0(J', length(2 ** 30), 't(K\0t', 0x89, '}tR');
    const file = await read(
      fixture('hostile-legacy.pth').subarray(0, 137),
      ...[0x80, 2, '}X', length(1), 'w', pickle, 's.', 0x80, 2, ']X', length(1), '0a.', tail],
    );
    const tensors = file.value as Parameters<typeof file.read>[0];
    await expect(file.read(tensors)).rejects.toThrow(/"w" repeats its storage: 1073741824 elements of 1/);
  });
});

describe('a file cut off', () => {
  it.each(['kinds.pth', 'kinds-legacy.pth'])('anywhere is refused: %s', async (name) => {
    const intact = fixture(name);
    for (let size = 0; size < intact.length; size += 7)
      await expect(readTorch(bytesSource(name, intact.slice(0, size))), `${size} bytes`).rejects.toThrow(
        CheckpointError,
      );
  });
});
