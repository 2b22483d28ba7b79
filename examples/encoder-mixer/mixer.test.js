import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadEncoder, pretrain } from 'moco-ts';
import { afterAll, expect, it } from 'vitest';
import { shapes } from '../own-data/index.js';
import { mixer } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'moco-example-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('trains through the library, and is loaded again', async () => {
  const data = shapes(64);
  const out = join(folder, 'run');
  const settings = {
    data,
    arch: mixer,
    imageSize: 32,
    batchSize: 16,
    mocoK: 64,
    epochs: 2,
    method: 'moco-v2',
  };
  const run = pretrain({ ...settings, out });
  const losses = [];
  for await (const { loss } of run) losses.push(loss);
  expect(losses).toHaveLength(8);
  const { checkpoint, config } = await run.result;
  expect(config.arch).toBe('mixer');
  const encoder = await loadEncoder(checkpoint, { arch: mixer });
  const rows = await encoder.embed([data.decode(0), data.decode(1), data.decode(0)]);
  expect(rows.map((row) => row.length)).toEqual([64, 64, 64]);
  expect(rows[2]).toEqual(rows[0]);
  expect(rows[1]).not.toEqual(rows[0]);
  await encoder.dispose();
});
