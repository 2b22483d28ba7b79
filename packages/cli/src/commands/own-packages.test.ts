/** Packages come from where this one is, never from the folder that a command happens to run in. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { probe } from '../../../node/src/backends.ts';
import { moco, temporaryFolder } from '../testing.ts';
import { npyHeader } from '../vectors/npy.ts';

const before = process.cwd();
afterEach(() => process.chdir(before));

/** A folder whose packages leave a mark when they are loaded. */
function trap(...names: readonly string[]): { folder: string; mark: string } {
  const folder = temporaryFolder();
  const mark = join(folder, 'loaded');
  for (const name of names) {
    const home = join(folder, 'node_modules', name);
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'package.json'), JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
    writeFileSync(
      join(home, 'index.js'),
      `require('fs').appendFileSync(${JSON.stringify(mark)}, '${name}\\n');`,
    );
  }
  return { folder, mark };
}

it('search --index takes usearch from where MoCo.ts is, not from the current folder', async () => {
  const { folder, mark } = trap('usearch', 'onnxruntime-node', 'hyparquet', 'sharp');
  process.chdir(folder);
  const values = Float32Array.from({ length: 20 * 4 }, (_, i) => Math.sin(i));
  writeFileSync('v.npy', Buffer.concat([npyHeader(20, 4), new Uint8Array(values.buffer)]));
  writeFileSync('v.ids.json', JSON.stringify({ ids: Array.from({ length: 20 }, (_, i) => `v${i}`) }));
  const { code, err } = await moco('search', 'v.npy', 'v3', '--index');
  expect(err).toMatch(/20 vectors indexed/);
  expect(code).toBe(0);
  expect(existsSync(mark) && readFileSync(mark, 'utf8')).toBe(false);
});

it('backends take their packages from where MoCo.ts is, not from the current folder', async () => {
  const { folder, mark } = trap('@tensorflow/tfjs-node', '@tensorflow/tfjs-node-gpu', 'webgpu');
  process.chdir(folder);
  for (const name of ['tfjs:node', 'tfjs:node-gpu', 'webgpu']) {
    const probed = await probe({ name, speed: 'training', needs: 'driver' });
    expect(probed).toMatchObject({ name, failure: expect.any(String) });
  }
  expect(existsSync(mark) && readFileSync(mark, 'utf8')).toBe(false);
});
