// Checkpoints larger than one read of the system, and than readFile takes: written, read, and of a run that goes on.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint, saveCheckpoint } from '../../packages/node/dist/checkpoint.js';
import { checkpoints } from './lib.mjs';

export const name = 'checkpoints of more than 2 GiB';

/** Two of these are more than 2 GiB, one is less; four bytes each. */
const VALUES = 300_000_000;

export async function run({ work, reference }) {
  const folder = join(work, 'large');
  mkdirSync(folder);
  const { info } = await openCheckpoint(join(reference, checkpoints(reference).at(-1)), () => undefined);
  const data = new Float32Array(VALUES);
  for (let i = 0; i < VALUES; i += 4096) data[i] = i;
  const tensor = { shape: [VALUES], dtype: 'float32', data };
  const path = await saveCheckpoint(folder, info, { a: tensor, b: tensor });
  const failures = [];
  const opened = await openCheckpoint(folder, (text) => failures.push(text), true);
  for (const name of ['a', 'b'])
    if (!Buffer.from(opened.tensors[name].data.buffer).equals(Buffer.from(data.buffer)))
      failures.push(`${name} is not what was saved`);
  if (checkpoints(folder).length !== 1) failures.push('it was set aside');
  return {
    tried: 1,
    survived: failures.length > 0 ? 0 : 1,
    lost: '',
    files: 1,
    failures,
    detail: `${(statSync(path).size / 2 ** 30).toFixed(1)} GiB, written, read and compared`,
  };
}
