import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder } from '../../cli/src/testing.ts';

const example = (path: string) => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));
const mixer = example('encoder-mixer/index.js');
const images = imageFolder(20);
const small = ['-b', '8', '--bn-splits', '2', '--moco-k', '16', '-j', '0', '--max-steps', '1'];

it('trains, exports and goes on with an encoder that the user names', async () => {
  const folder = join(temporaryFolder(), 'r');
  const named = ['-a', 'mixer', '--image-size', '16', '--plugin', mixer];
  expect(await moco('pretrain', images, ...small, ...named, '--out', folder)).toMatchObject({
    code: 0,
    err: '',
  });
  const { config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ arch: 'mixer', plugin: [mixer] });
  const model = join(temporaryFolder(), 'm.onnx');
  expect(await moco('export', folder, '-o', model, '--plugin', mixer)).toMatchObject({ code: 0 });
});

it('runs on a backend that the user names', async () => {
  const named = ['--plugin', example('backend-worker/index.js'), '--backend', 'worker'];
  const shape = ['-a', 'resnet-tiny', '--image-size', '8', '--moco-dim', '8'];
  const made = await moco(
    'pretrain',
    images,
    ...small,
    ...shape,
    ...named,
    '--out',
    join(temporaryFolder(), 'r'),
  );
  expect(made).toMatchObject({ code: 0, err: '' });
});

it('trains a method and an encoder of two plugins together', async () => {
  const folder = join(temporaryFolder(), 'r');
  const plugins = ['--plugin', mixer, '--plugin', example('method-byol/index.ts')];
  const named = ['-a', 'mixer', '--method', 'byol', '--byol-hidden', '16', '--image-size', '16'];
  const flags = ['-b', '8', '-j', '0', '--max-steps', '1', '--moco-dim', '8'];
  const made = await moco('pretrain', images, ...plugins, ...named, ...flags, '--out', folder);
  expect(made).toMatchObject({ code: 0, err: '' });
  const { config } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ arch: 'mixer', method: 'byol', plugin: [plugins[1], plugins[3]] });
  expect(await moco('knn', folder, ...plugins)).toMatchObject({ code: 0, err: '' });
});

it("refuses a method's flag that the command has already", async () => {
  const parts = ['defaults', 'views', 'create', 'head'].map((part) => `${part}: () => ({})`).join(', ');
  const rule = "{ type: 'number', least: 1, most: 9 }";
  for (const flag of ['--resume', '--help', '--plugin', '--preset']) {
    const settings = `{ mine: { rule: ${rule}, default: 1, always: true, flags: '${flag} <n>' } }`;
    const file = join(temporaryFolder(), 'taking.mjs');
    writeFileSync(file, `export const taking = { name: 'taking', settings: ${settings}, ${parts} };\n`);
    const { code, err } = await moco('pretrain', images, ...small, '--plugin', file);
    expect([flag, code, err]).toEqual([
      flag,
      1,
      `moco: the flag ${flag} of a plugin's method is one of moco train already\n`,
    ]);
  }
});

it('tells what is wrong with a plugin in one line', async () => {
  const file = join(temporaryFolder(), 'empty.mjs');
  writeFileSync(file, 'export const nothing = 1;\n');
  const table: [string, string][] = [
    ['no-such-package', 'npm install no-such-package'],
    ['./no/such.js', 'check the path'],
    [
      file,
      'exports no method (defineMethod), no encoder (defineEncoder), no backend (defineBackend) and no log sink',
    ],
  ];
  for (const [name, message] of table) {
    const { code, err } = await moco('pretrain', images, ...small, '--plugin', name);
    expect([code, err.trim().split('\n').length, err]).toEqual([1, 1, expect.stringContaining(message)]);
  }
});
