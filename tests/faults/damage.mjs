// The newest checkpoint truncated, overwritten, emptied.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rng } from '../../packages/core/dist/index.js';
import { openCheckpoint } from '../../packages/node/dist/checkpoint.js';
import { checkpoints, finish, flags, STEPS, stepOf, unlike } from './lib.mjs';

export const name = 'damaged checkpoints';

const damages = {
  truncated: (bytes, random) => bytes.subarray(0, random.integer(bytes.length)),
  emptied: () => Buffer.alloc(0),
  'bits flipped': (bytes, random) => {
    for (let i = 0; i <= random.integer(8); i++)
      bytes[random.integer(bytes.length)] ^= 1 << random.integer(8);
    return bytes;
  },
  'bits flipped in the header': (bytes, random) => {
    bytes[random.integer(12_000)] ^= 1 << random.integer(8);
    return bytes;
  },
  'a part zeroed': (bytes, random) => {
    const at = random.integer(bytes.length - 1);
    return bytes.fill(0, at, at + 1 + random.integer(bytes.length - at - 1));
  },
  'other bytes at the end': (bytes, random) =>
    Buffer.concat([
      bytes,
      Buffer.from(Uint8Array.from({ length: 1 + random.integer(64) }, () => random.integer(256))),
    ]),
};

export async function run({ work, data, reference, quick, seed }) {
  const base = join(work, 'damage-base');
  await finish(flags(data, base, ['--max-steps', '9']));
  const files = checkpoints(base);
  const [newest, before] = [files.at(-1), files.at(-2)];
  const original = readFileSync(join(base, newest));
  const kinds = Object.entries(damages);
  const count = quick ? 36 : 600;
  const failures = [];
  const written = content(await openCheckpoint(base, () => undefined));
  let [same, harmless] = [0, 0];
  const folder = join(work, 'damage');
  mkdirSync(folder, { recursive: true });
  cpSync(join(base, before), join(folder, before));
  for (let i = 0; i < count; i++) {
    const [kind, damage] = kinds[i % kinds.length];
    const bytes = damage(Buffer.from(original), rng(seed, 'faults/damage', i));
    writeFileSync(join(folder, newest), bytes);
    if (bytes.equals(original)) {
      same++;
      continue;
    }
    const warnings = [];
    const opened = await openCheckpoint(folder, (text) => warnings.push(text)).catch((error) => ({
      path: error.message,
    }));
    const right =
      opened.path === join(folder, before) && warnings.length === 1 && warnings[0].includes(newest);
    if (right) continue;
    // A bit that counts for nothing, such as one of the format's name: what was read is what was written.
    if (opened.path === join(folder, newest) && content(opened) === written) harmless++;
    else failures.push(`${kind}, case ${i}: opened ${opened.path}`);
  }
  let lost = 0;
  const processes = quick ? 2 : kinds.length;
  for (let i = 0; i < processes; i++) {
    const [kind, damage] = kinds[i];
    const copy = join(work, `damage-${i}`);
    cpSync(base, copy, { recursive: true });
    writeFileSync(join(copy, newest), damage(Buffer.from(original), rng(seed, 'faults/damage', count + i)));
    const { code, err } = await finish(flags(data, copy, ['--resume', 'auto', '--max-steps', String(STEPS)]));
    const why = code === 0 ? unlike(copy, reference) : err.trim();
    if (why) failures.push(`${kind}, resumed: ${why}`);
    else if (!err.includes(newest)) failures.push(`${kind}, resumed: the damaged file is not named`);
    lost = Math.max(lost, stepOf(newest) - stepOf(before));
    rmSync(copy, { recursive: true });
  }
  const tried = count - same + processes;
  const detail = `the one before was found and the damaged one named (${harmless} times the damage counted for nothing); ${processes} runs resumed, equal to the bit`;
  return { tried, survived: tried - failures.length, lost, files: count - same, failures, detail };
}

/** All that a checkpoint holds. */
function content({ tensors, info }) {
  const sums = Object.entries(tensors).map(([name, { shape, dtype, data }]) => [
    ...[name, shape, dtype],
    createHash('sha256')
      .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      .digest('hex'),
  ]);
  return JSON.stringify([sums.sort(), info]);
}
