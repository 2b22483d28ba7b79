import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openData } from '../../../node/src/dataset.ts';
import { train } from '../../../node/src/train.ts';
import { imageFolder, moco, quietReporter, temporaryFolder } from '../testing.ts';
import type { CellResult } from './cells.ts';
import { compare, findings, type Point, pointsOf } from './findings.ts';
import { sweeps } from './sweeps.ts';

const nothing = () => undefined;
const images = imageFolder(24);
const base = [
  ...['ablate', images, '-a', 'resnet-tiny', '--image-size', '16', '-b', '8', '--bn-splits', '2'],
  ...['--moco-k', '16', '--moco-dim', '8', '-j', '0', '--threads', '1', '--lr', '0.01', '--epochs', '1'],
];

it('trains each cell once, and draws what it measured beside what was published', async () => {
  const folder = join(temporaryFolder(), 'a');
  const args = [...base, '--sweeps', 'm,bn', '--seeds', '2', '--out', folder];
  const first = await moco(...args);
  expect(first.code).toBe(0);
  const cells = readdirSync(join(folder, 'cells')).filter((name) => !name.startsWith('untrained'));
  expect(cells).toHaveLength(2 * (5 + 3));
  const path = join(folder, 'cells', 'm-moco-0.9-seed-1.json');
  const cell = JSON.parse(readFileSync(path, 'utf8'));
  expect(cell).toMatchObject({ sweep: 'm', x: '0.9', seed: 1, config: { mocoM: 0.9, mocoK: 16 } });
  expect(readdirSync(join(folder, 'runs'))).toEqual([]);

  // What is on the disk is taken as it is.
  writeFileSync(path, JSON.stringify({ ...cell, measures: { editedCopies: 77.7 } }));
  expect((await moco(...args)).out).toContain('77.7');
  const report = readFileSync(join(folder, 'report.html'), 'utf8');
  for (const text of ['59.0', '77.7', 'fails', '24 images']) expect(report).toContain(text);

  for (const name of ['untrained-seed-0', 'm-moco-0-seed-0']) {
    const file = join(folder, 'cells', `${name}.json`);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, '{"measures": {}}');
    const message = `moco: ${file} is no cell of an ablation: it has no config; remove it, and the cell is trained again\n`;
    expect(await moco(...args)).toMatchObject({ code: 1, err: message });
    writeFileSync(file, text);
  }

  const other = await moco(...args, '--crop-min', '0.5');
  expect([other.code, other.err]).toEqual([1, expect.stringContaining('made with another recipe')]);
});

it('measures a cell that was killed between its last checkpoint and its file', async () => {
  const folder = join(temporaryFolder(), 'a');
  const args = [...base, '--sweeps', 'bn', '--seeds', '1', '--out', folder];
  expect((await moco(...args)).code).toBe(0);
  const [name] = readdirSync(join(folder, 'cells')).filter((name) => !name.startsWith('untrained'));
  const path = join(folder, 'cells', name!);
  const cell = JSON.parse(readFileSync(path, 'utf8')) as CellResult;
  const run = join(folder, 'runs', name!.replace(/\.json$/, ''));
  const dataset = await openData(cell.config, 'train', nothing);
  await train({
    config: cell.config,
    dataset,
    folder: run,
    reporter: quietReporter,
    stop: { requested: false },
  });
  const again = async () => {
    expect((await moco(...args)).code).toBe(0);
    expect((JSON.parse(readFileSync(path, 'utf8')) as CellResult).measures).toEqual(cell.measures);
  };
  rmSync(path);
  await again();
  expect(readdirSync(join(folder, 'runs'))).toEqual([]);
  // As an earlier version left it.
  const { measures: _, ...bare } = cell;
  writeFileSync(path, JSON.stringify(bare));
  await again();
});

it('compares the three mechanisms with one head, temperature and kind of view', () => {
  const settings = sweeps.k.settings(
    { batchSize: 64, mocoK: 1024, lr: 0.1, mocoT: 0.2, mlp: true, augPlus: true },
    3000,
  );
  expect([...new Set(settings.map(({ series }) => series))]).toEqual(['end-to-end', 'memory bank', 'MoCo']);
  for (const { flags } of settings) expect(flags).toMatchObject({ mocoT: 0.2, mlp: true, augPlus: true });
  expect(settings.filter(({ series }) => series === 'MoCo').map(({ x }) => x)).toEqual([64, 256, 1024]);
  const ends = settings.filter(({ series }) => series === 'end-to-end');
  expect(ends.map(({ x, flags }) => [x, flags.batchSize, flags.lr])).toEqual([
    [126, 64, 0.1],
    [254, 128, 0.2],
    [510, 256, 0.4],
  ]);
});

const point = (x: string, ...values: number[]): Point => ({
  series: 'MoCo',
  x,
  values,
  failures: 0,
  mean: values.reduce((sum, value) => sum + value, 0) / values.length,
  least: Math.min(...values),
  most: Math.max(...values),
});

it('says what the seeds can tell apart, and no more', () => {
  expect(compare(point('a', 5, 6), point('b', 3, 4))).toBe('above');
  expect(compare(point('a', 3, 4), point('b', 5, 6))).toBe('below');
  expect(compare(point('a', 3, 5), point('b', 4, 6))).toBe('level');
  const lines = findings('m', [point('0', 9, 10), point('0.9', 20, 21), point('0.99', 30, 31)], 15);
  expect(lines).toEqual([
    "m = 0 reaches 9.5, -5.5 over the untrained network's 15.0.",
    'm = 0.99 (30.5) is above m = 0.9 (20.5).',
    'The best here is m = 0.99 (30.5); in the paper it is 0.999.',
  ]);
});

it('counts runs whose loss was no number', () => {
  const cell = { sweep: 'm', series: 'MoCo', x: '0', images: 1, seconds: 1, moco: '', config: {} as never };
  const points = pointsOf(
    [
      { ...cell, seed: 0, failure: 'the loss is NaN' },
      { ...cell, seed: 1, measures: { knn: 4 } },
    ],
    'm',
    'knn',
  );
  expect(points).toMatchObject([{ failures: 1, values: [4], mean: 4 }]);
});
