import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BackendDevice } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { choose, type Found } from './backends.ts';
import { knownDevices } from './plugins.ts';

const listed = (name: string, speed: number, software = false, training = true): Found => ({
  name,
  device: name,
  lowering: '',
  speed,
  software,
  training,
});

it('auto takes the quickest, ort where another is hardly quicker, and no GPU in software, none that does not train', () => {
  const failed = { name: 'ort:cuda', failure: 'no' };
  expect(choose([failed, listed('ort', 100), listed('webgpu', 500)]).name).toBe('webgpu');
  expect(choose([listed('ort', 100), listed('webgpu', 105)]).name).toBe('ort');
  expect(choose([listed('ort', 100), listed('webgpu', 500, true)]).name).toBe('ort');
  expect(choose([failed, listed('tfjs:wasm', 20)]).name).toBe('tfjs:wasm');
  expect(choose([listed('ort', 100), listed('ort:webgpu', 500, false, false)]).name).toBe('ort');
  expect(() => choose([failed])).toThrow('no backend is usable here');
  expect(() => choose([failed], 'bf16')).toThrow('no backend that computes in bf16 is usable here');
});

it('lists, by name, what comes with the command, and what its engines declare of it', async () => {
  const devices = await knownDevices();
  const known = new Map(devices.map((device) => [device.name, device]));
  expect([...known.keys()]).toEqual([
    ...['ort', 'ort:cuda', 'ort:webgpu', 'tfjs:cpu', 'tfjs:wasm', 'tfjs:node', 'tfjs:node-gpu', 'webgpu'],
    ...['xla:cpu', 'xla:cuda', 'reference'],
  ]);
  const those = (fits: (device: BackendDevice) => boolean) =>
    devices.flatMap((device) => (fits(device) ? [device.name] : []));
  expect(those(({ gpu }) => gpu === true)).toEqual([
    ...['ort:cuda', 'ort:webgpu', 'tfjs:node-gpu', 'webgpu', 'xla:cuda'],
  ]);
  expect(those(({ speed }) => speed === 'check')).toEqual(['tfjs:cpu', 'reference']);
  expect(those(({ needs }) => needs === 'driver')).toEqual([
    ...['ort:cuda', 'ort:webgpu', 'tfjs:node', 'tfjs:node-gpu', 'webgpu', 'xla:cpu', 'xla:cuda'],
  ]);
});

// Each driver is tried in a process that reads the sources anew.
it('lists what is usable, and what the rest needs, within 80 columns', async () => {
  const { code, out } = await moco('backends');
  expect(code).toBe(0);
  for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  expect(out).toMatch(/^ort {9}.* GiB .* \d+$/m);
  expect(out).toMatch(/^tfjs:wasm/m);
  expect(out).toMatch(/^reference .* float64, op by op bf16 fp16 +slow$/m);
  expect(out).toContain('npm rebuild onnxruntime-node');
}, 300_000);

it('stores what auto stood for', async () => {
  const folder = `${temporaryFolder()}/r`;
  const made = await moco(
    'pretrain',
    imageFolder(20),
    ...tiny,
    '--max-steps',
    '1',
    '--out',
    folder,
    '--backend',
    'auto',
  );
  expect(made.out).toMatch(/^Backend: (\S+) \(\d+ GF\/s/m);
  const { config } = JSON.parse(readFileSync(`${folder}/config.json`, 'utf8'));
  expect(config.backend).toBe(/^Backend: (\S+)/m.exec(made.out)![1]);
}, 300_000);

it('tries a driver in a process of its own program, never in the one that asks', () => {
  const folder = temporaryFolder();
  const of = (path: string) => new URL(path, import.meta.url).href;
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(
    join(folder, 'bin.js'),
    `import { appendFileSync } from 'node:fs';
import { register } from '${import.meta.resolve('tsx/esm/api')}';
appendFileSync(new URL('./starts', import.meta.url), process.argv.slice(2).join(' ') + '|');
register({ tsconfig: '${fileURLToPath(of('../tsconfig.sources.json'))}' });
const { probe } = await import('${of('./backends.ts')}');
console.log(JSON.stringify(await probe({ name: 'tfjs:node', speed: 'training', needs: 'driver' })));
`,
  );
  const { stdout, stderr } = spawnSync(process.execPath, [join(folder, 'bin.js'), 'a user'], {
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(JSON.parse(stdout).name).toBe('tfjs:node');
  expect(readFileSync(join(folder, 'starts'), 'utf8')).toBe('a user|');
});
