/** Every command that writes holds a lock on what it writes. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { lockFolder, lockOutput } from '../../../node/src/lock.ts';
import { moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const data = temporaryFolder();
for (const [index, name] of ['a', 'b'].entries()) {
  writeImages(join(data, 'train', name), 8, 100 * index);
  writeImages(join(data, 'test', name), 4, 100 * index + 50);
}
const work = temporaryFolder();
const at = (name: string) => join(work, name);
const note = () => undefined;
const recipe = ['-a', 'resnet-tiny', '--image-size', '16', '-b', '8', '--moco-k', '16', '--moco-dim', '8'];

/** Into the cache, of which there is one for each kind of plugin. */
const install = [
  'backends install',
  'cache/moco/xla/cpu',
  () => {
    vi.stubEnv('XDG_CACHE_HOME', at('cache'));
    return ['backends', 'install', 'xla:cpu', '--from', work];
  },
] as [string, string, (out: string) => string[]];
afterAll(() => {
  vi.unstubAllEnvs();
});

beforeAll(async () => {
  for (const args of [
    ['pretrain', data, ...tiny, '--epochs', '1', '--out', at('run')],
    ['convert', at('run'), '-o', at('encoder.pth')],
    ['embed', at('run'), data, '--out', at('vectors.parquet')],
  ])
    expect(await moco(...args)).toMatchObject({ code: 0 });
});

describe('what another process writes into', () => {
  it.each([
    ['pretrain', at('r'), () => ['pretrain', data, ...tiny, '--epochs', '1', '--out', at('r')]],
    ['demo', at('demo'), () => ['demo', '--epochs', '1', '--out', at('demo')]],
    ['lincls', at('probe'), () => ['lincls', at('run'), '-b', '8', '--epochs', '1', '--out', at('probe')]],
    ['finetune', at('fine'), () => ['finetune', at('run'), '-b', '8', '--epochs', '1', '--out', at('fine')]],
    ['ablate', at('ablation'), () => ['ablate', data, ...recipe, '--epochs', '1', '--out', at('ablation')]],
    ['export', at('web'), () => ['export', at('run'), '-o', at('web'), '--transformers-js']],
  ])('as a folder is refused by %s', async (_, folder, args) => {
    const lock = await lockFolder(folder, note);
    try {
      const { code, err } = await moco(...args());
      expect([code, err]).toEqual([1, expect.stringMatching(/^moco: .* is in use by process \d+ on .*\n$/)]);
    } finally {
      lock.release();
    }
    expect(existsSync(folder)).toBe(false);
  });

  it.each([
    ['embed', 'v.parquet', (out: string) => ['embed', at('run'), data, '--out', out]],
    ['export', 'm.onnx', (out: string) => ['export', at('run'), '-o', out]],
    ['import', 'c.safetensors', (out: string) => ['import', at('encoder.pth'), '-o', out]],
    ['convert', 'c.pth', (out: string) => ['convert', at('run'), '-o', out]],
    ['map', 'map.html', (out: string) => ['map', at('vectors.parquet'), '--out', out]],
    ['report', 'page.html', (out: string) => ['report', at('run'), '-o', out]],
    [
      'search --index',
      'vectors.parquet.usearch',
      () => ['search', at('vectors.parquet'), 'a/0.png', '--index'],
    ],
    [
      'bench --dump',
      'step.mlir',
      (out: string) => [
        'bench',
        ...recipe,
        '--bn-splits',
        '2',
        '--method',
        'moco-v2',
        '--backend',
        'xla:cpu',
        '--dump',
        out,
      ],
    ],
    ...(process.platform === 'linux' && process.arch === 'x64' ? [install] : []),
  ])('as a file is refused by %s', async (_, name, args) => {
    const lock = await lockOutput(at(name), note);
    try {
      const { code, err } = await moco(...args(at(name)));
      expect([code, err]).toEqual([1, expect.stringMatching(/moco: .* is in use by process \d+ on .*\n$/)]);
      expect(existsSync(at(name))).toBe(false);
    } finally {
      lock.release();
    }
  });
});
