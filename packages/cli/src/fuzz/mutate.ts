/** Damage to files, from a random stream: what bad disks do, and what someone would try. */
import type { Rng } from '@moco-ts/core';

/** Numbers at which counts and offsets go wrong. */
const edges = [
  0n,
  1n,
  2n,
  127n,
  128n,
  255n,
  65535n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
];

/** What means something to the formats: opcodes of pickles, marks of zip files, pieces of JSON and of headers. */
const tokens = [
  'cos\nsystem\n',
  'X\x02\0\0\0ls\x85R',
  'c__builtin__\neval\n',
  '\x8c\x02os\x8c\x06system\x93',
  ...[
    '(',
    ')',
    't',
    '}',
    ']',
    'u',
    's',
    'a',
    'e',
    'R',
    'b',
    'Q',
    '0',
    '1',
    '2',
    'N',
    '.',
    '\x81',
    '\x85',
    '\x86',
    '\x93',
  ],
  ...[
    'h\0',
    'h\x01',
    'q\0',
    'q\x01',
    'j\xff\xff\xff\xff',
    'r\xff\xff\xff\xff',
    '\x94',
    '\x8b\xff\xff\xff\x7f',
    'K\x01',
    'J\xff\xff\xff\xff',
  ],
  ...['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07'],
  ...[
    '{',
    '}',
    '[',
    ']',
    '"',
    ',',
    ':',
    '-1',
    '1e400',
    'null',
    '"__proto__":',
    '\\u0000',
    '99999999999999999999',
  ],
];

type Damage = (bytes: Uint8Array, at: number, random: Rng) => Uint8Array;

/** The bytes from `at`, at most as many as are drawn. */
const run = (bytes: Uint8Array, at: number, random: Rng, most = 64) =>
  Math.min(bytes.length - at, 1 + random.integer(most));

function spliced(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length - removed + added.length);
  out.set(bytes.subarray(0, at));
  out.set(added, at);
  out.set(bytes.subarray(at + removed), at + added.length);
  return out;
}

function written(bytes: Uint8Array, at: number, added: Uint8Array): Uint8Array {
  const out = bytes.slice();
  out.set(added.subarray(0, bytes.length - at), at);
  return out;
}

function token(random: Rng): Uint8Array {
  return Uint8Array.from(tokens[random.integer(tokens.length)]!, (character) => character.charCodeAt(0));
}

function edge(random: Rng, width: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, edges[random.integer(edges.length)]!, true);
  return out.subarray(0, width);
}

const noise = (random: Rng, size: number) => Uint8Array.from({ length: size }, () => random.integer(256));

const damages: readonly Damage[] = [
  (bytes, at, random) => written(bytes, at, Uint8Array.of(bytes[at]! ^ (1 << random.integer(8)))),
  (bytes, at, random) => written(bytes, at, noise(random, 1)),
  (bytes, at, random) => written(bytes, at, edge(random, 1)),
  (bytes, at, random) => written(bytes, at, edge(random, 2)),
  (bytes, at, random) => written(bytes, at, edge(random, 4)),
  (bytes, at, random) => written(bytes, at, edge(random, 8)),
  (bytes, at, random) => written(bytes, at, noise(random, run(bytes, at, random))),
  (bytes, at, random) => written(bytes, at, new Uint8Array(run(bytes, at, random))),
  (bytes, at, random) => written(bytes, at, token(random)),
  (bytes, at, random) => spliced(bytes, at, 0, token(random)),
  (bytes, at, random) => spliced(bytes, at, 0, noise(random, 1 + random.integer(16))),
  (bytes, at, random) => spliced(bytes, at, run(bytes, at, random), new Uint8Array(0)),
  (bytes, at, random) => spliced(bytes, at, 0, bytes.slice(at, at + run(bytes, at, random, 256))),
  (bytes, at, random) => {
    const from = random.integer(bytes.length);
    return written(bytes, at, bytes.slice(from, from + run(bytes, from, random)));
  },
  (bytes, at) => bytes.slice(0, at),
];

/** Headers stand in front, a zip file's directory at the end. */
function place(size: number, random: Rng): number {
  const near = Math.min(size, 4096);
  const where = random.integer(3);
  if (where === 0) return random.integer(size);
  return where === 1 ? random.integer(near) : size - 1 - random.integer(near);
}

/** A copy of a file with one damage in half of the cases, with up to eight in the others. */
export function mutate(bytes: Uint8Array, random: Rng): Uint8Array {
  let out = bytes;
  const count = random.integer(2) === 0 ? 1 : 1 + random.integer(8);
  for (let left = count; left > 0 && out.length > 0; left--)
    out = damages[random.integer(damages.length)]!(out, place(out.length, random), random);
  return out;
}
