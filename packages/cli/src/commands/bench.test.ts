import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { moco, temporaryFolder } from '../testing.ts';

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
  const { timed, batchSize } = JSON.parse(out);
  const [report] = timed;
  expect([code, report.secondsPerStep.length, batchSize]).toEqual([0, 2, 8]);
  expect(report.secondsPerStep).toContain(Math.min(...report.secondsPerStep));
  expect(report.median).toBeGreaterThan(0);
  expect(report.secondsToFirstStep).toBeGreaterThan(0);
  expect(Number.isFinite(report.loss)).toBe(true);
});

it('a backend that is not there, alone, is an error of one line', async () => {
  expect(await moco(...small, '--backend', 'nothing')).toMatchObject({ code: 1 });
});

it("writes the step as its backend's engine takes it, the same text each time, and opens no device", async () => {
  const folder = temporaryFolder();
  const [once, again] = ['once.mlir', 'again.mlir'].map((name) => join(folder, name)) as [string, string];
  // No test machine has a plugin for TPUs.
  const dump = (path: string) =>
    moco(...small, '--method', 'moco-v2', '--backend', 'xla:tpu', '--dump', path);
  expect(await dump(once)).toMatchObject({
    code: 0,
    out: expect.stringMatching(
      /^Wrote .*once\.mlir: A step of moco-v2: .*, as xla:tpu gives it to its engine/,
    ),
  });
  const text = readFileSync(once, 'utf8');
  expect(text).toMatch(
    /^module @step \{\nfunc\.func public @main\(%arg0: tensor<[^>]+> \{tf\.aliasing_output = 0/,
  );
  expect(text).toContain('stablehlo.convolution');
  expect(await dump(again)).toMatchObject({ code: 0 });
  expect(readFileSync(again, 'utf8')).toBe(text);
});

it.each([
  [['--backend', 'ort'], 'ort gives its engine no text'],
  [['--backends', 'xla:cpu,xla:cuda'], '--dump writes the step of one backend'],
])('writes out no step of %j', async (flags, message) => {
  const { code, err } = await moco(...small, ...flags, '--dump', join(temporaryFolder(), 'step'));
  expect([code, err]).toEqual([1, expect.stringContaining(message)]);
});
