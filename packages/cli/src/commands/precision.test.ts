import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { imageFolder, logged, moco, temporaryFolder, tiny } from '../testing.ts';

const folder = join(temporaryFolder(), 'run');
const base = [
  'pretrain',
  imageFolder(8),
  ...tiny,
  '--arch',
  'resnet-micro',
  '--epochs',
  '3',
  '--out',
  folder,
];

it('a backend that has not the precision refuses it in one line, which names those that have', async () => {
  const { code, err } = await moco(...base, '--precision', 'bf16');
  expect(code).toBe(1);
  expect(err).toBe(
    'moco: ort computes in fp32 alone: leave out --precision bf16, or choose --backend xla:cpu, xla:cuda, reference\n',
  );
  expect(existsSync(join(folder, 'config.json'))).toBe(false);
  expect((await moco(...base, '--precision', 'int8')).err).toContain('Choose from fp32, tf32, bf16, fp16.');
});

it('a run stores its precision, and goes on in another', async () => {
  const first = await moco(...base, '--backend', 'reference', '--precision', 'bf16', '--max-steps', '1');
  expect(first).toMatchObject({ code: 0, err: '' });
  const stored = () => JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).config;
  expect(stored()).toMatchObject({ precision: 'bf16', backend: 'reference' });
  const refused = await moco('pretrain', '--resume', folder, '--backend', 'ort');
  expect(refused.err).toContain('ort computes in fp32 alone: leave out --precision bf16');
  const second = await moco('pretrain', '--resume', folder, '--backend', 'ort', '--precision', 'fp32');
  expect(second).toMatchObject({ code: 0, err: '' });
  expect(stored()).toMatchObject({ precision: 'fp32', backend: 'ort' });
  expect(logged(folder, 'step')).toHaveLength(3);
});
