import { expect, it } from 'vitest';
import { moco } from '../testing.ts';

const small = [
  ...['bench', '-a', 'resnet-micro', '--image-size', '16', '-b', '8', '--bn-splits', '2', '--moco-k', '16'],
  ...['--moco-dim', '8', '--threads', '1', '--steps', '2'],
];

it('times steps of several backends, and says which are not usable', async () => {
  const { code, out, err } = await moco(
    ...small,
    '--backends',
    'ort,tfjs:cpu,nothing',
    '--method',
    'moco-v2',
  );
  expect(code).toBe(0);
  expect(out).toMatch(/^A step of moco-v2: resnet-micro at 16 px, batch 8, K 16, sgd\n/);
  for (const name of ['ort', 'tfjs:cpu'])
    expect(out).toMatch(
      new RegExp(`^${name} +[\\d.]+ +[\\d.]+-[\\d.]+ +\\d+ +[\\d.]+ s +[\\d.]+ [kM]?B$`, 'm'),
    );
  expect(err).toMatch(/^moco: .*nothing/);
  expect(out.split('\n').every((line) => line.length <= 80)).toBe(true);
});

it('tells a program what it measured', async () => {
  const { code, out } = await moco(...small, '--json', '--method', 'moco-v1');
  const told = JSON.parse(out);
  expect([code, told.secondsPerStep.length, told.batchSize]).toEqual([0, 2, 8]);
  expect(told.secondsPerStep).toContain(Math.min(...told.secondsPerStep));
  expect(told.median).toBeGreaterThan(0);
  expect(told.secondsToFirstStep).toBeGreaterThan(0);
  expect(Number.isFinite(told.loss)).toBe(true);
});

it('a backend that is not there, alone, is an error of one line', async () => {
  expect(await moco(...small, '--backend', 'nothing')).toMatchObject({ code: 1 });
});
