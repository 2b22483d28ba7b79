/** Data that are not where a run names them, as after a change of the folder: whose name it is, and what to do. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const [photos, run, probe] = [at('photos'), at('run'), at('probe')];
const small = ['-j', '0', '--threads', '1'];

beforeAll(async () => {
  for (const name of ['a', 'b']) writeImages(join(photos, name), 8, name === 'a' ? 0 : 100);
  const flags = [...tiny, '-a', 'resnet-micro', '--epochs', '2', '--max-steps', '2', '--hold-out', '0.3'];
  expect(await moco('pretrain', photos, ...flags, '--out', run)).toMatchObject({ code: 0 });
  const recipe = ['-b', '4', '--epochs', '1', '--lr', '0.1', ...small];
  expect(await moco('lincls', run, ...recipe, '--out', probe)).toMatchObject({ code: 0 });
  expect(await moco('embed', run, photos, '--out', at('v.npy'), ...small)).toMatchObject({ code: 0 });
  rmSync(photos, { recursive: true });
});

it.each<[string, () => string[], string]>([
  ['pretrain --resume', () => ['pretrain', '--resume', run], 'DATA'],
  ['knn', () => ['knn', run, ...small], 'DATA'],
  ['lincls', () => ['lincls', run, '--out', at('other'), ...small], 'DATA'],
  ['lincls -e', () => ['lincls', join(probe, 'best.safetensors'), '-e', ...small], 'DATA'],
  ['export --measure', () => ['export', run, '-o', at('m.onnx'), '--measure'], 'DATA'],
  ['map', () => ['map', at('v.npy'), '--out', at('m.html'), '--threads', '1'], '--data FOLDER'],
])('%s', async (_, args, flag) => {
  const { code, err } = await moco(...args());
  expect(code).toBe(1);
  const whose = args().find((word) => word.startsWith(folder))!;
  expect(err).toMatch(/^moco: \S+photos: no such folder: so \S+ names its data, .*\n$/);
  expect(err).toContain(`so ${whose}`);
  expect(err).toMatch(new RegExp(`name them by ${flag}\n$`));
});

it('the report says so too, and does without images', async () => {
  const { code, err } = await moco('report', run, '-o', at('r.html'));
  expect(code).toBe(0);
  expect(err).toMatch(/^moco: warning: \S+photos: no such folder: so \S+ names its data, /);
});
