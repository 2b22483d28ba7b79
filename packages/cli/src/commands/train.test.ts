import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { imageFolder, logged, moco, png, printed, spawnMoco, temporaryFolder } from '../testing.ts';
import { isBetter, nextCommands, recipeLine } from './train.ts';

/** Quick steps; the recipe chooses the rest. */
const small = ['-a', 'resnet-micro', '--image-size', '16', '-j', '0', '--threads', '1', '--backend', 'ort'];
const left = ['model.onnx', 'report.html', 'train.json', 'latest.json'];
const folder = () => join(temporaryFolder(), 'run');

it('leaves a model, a report and a comparison, and three commands that run', async () => {
  const out = folder();
  const images = imageFolder(120);
  writeFileSync(join(images, 'about.md'), '');
  const length = ['--epochs', '2', '--measure-every', '1'];
  const { code, out: text, err } = await moco('train', images, ...small, ...length, '--out', out);
  // Said once, though the report opens the images again.
  expect([code, err]).toEqual([0, `moco: warning: ${images}: 1 file passed by: 1 .md\n`]);
  expect(left.filter((name) => !existsSync(join(out, name)))).toEqual([]);
  expect(text).toMatch(/method +simclr +the rest of a batch/);
  expect(text).toMatch(/encoder +resnet-micro +asked for/);
  expect(text).toMatch(/estimate +2 steps +2.0 passes over the images/);
  expect(text).toContain('which flatters it a little');
  expect(text).toMatch(/On \d+ images that it never saw +raw pixels +untrained +trained +chance/);
  for (const line of text.split('\n'))
    if (!line.includes(out)) expect(line.length, line).toBeLessThanOrEqual(80);
  const { rows, images: asked } = JSON.parse(readFileSync(join(out, 'train.json'), 'utf8'));
  expect(rows).toEqual([
    {
      measure: 'editedCopies',
      pixels: expect.any(Number),
      before: expect.any(Number),
      after: expect.any(Number),
      chance: 100 / asked,
    },
  ]);
  expect(text.match(/^Epoch .* done/gm)).toHaveLength(2);
  // Held-out images are not trained on.
  const { config, dataset } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
  expect([config.holdOut, dataset.images + asked]).toEqual([0.1, 120]);
  // Of the checkpoints that were measured the best is what is exported.
  const { by, candidates } = JSON.parse(readFileSync(join(out, 'best.json'), 'utf8'));
  expect([by, candidates.length]).toEqual(['retrieval', 2]);
  const best = Math.max(...candidates.map(({ value }: { value: number }) => value));
  expect(rows[0].after).toBeCloseTo(best, 6);
  const [embed, map, dedupe] = text
    .slice(text.indexOf('Next:'))
    .split('\n')
    .filter((line) => line.startsWith('  moco '))
    .map((line) => line.trim().split(' ').slice(1));
  for (const command of [embed!, map!, dedupe!])
    expect(await moco(...command), command.join(' ')).toMatchObject({ code: 0 });
});

it('measures on what it trains on where images are few, in a smaller batch', async () => {
  const out = folder();
  const { code, out: text } = await moco(
    'train',
    imageFolder(20),
    ...small,
    '--max-steps',
    '3',
    '--out',
    out,
  );
  expect(code).toBe(0);
  expect(text).toContain('On 20 images that it was trained on');
  expect(logged(out, 'step').length).toBeGreaterThan(0);
  expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')).config).toMatchObject({
    batchSize: 16,
    method: 'simclr',
  });
});

it('measures classes too where folders name them', async () => {
  const images = temporaryFolder();
  for (let i = 0; i < 120; i++) {
    mkdirSync(join(images, `c${i % 2}`), { recursive: true });
    writeFileSync(join(images, `c${i % 2}`, `${i}.png`), png(i));
  }
  const out = folder();
  const { code, out: text } = await moco('train', images, ...small, '--max-steps', '2', '--out', out);
  expect(code).toBe(0);
  expect(text).toMatch(/^kNN accuracy( +[\d.]+ %){4}$/m);
  expect(text).toMatch(/^edited copies, R@1( +[\d.]+ %){4}$/m);
});

it('is the method that flags ask for, and begins from given weights', async () => {
  const first = folder();
  const images = imageFolder(40);
  const flags = ['--method', 'moco-v2', '--moco-k', '64', '--max-steps', '2'];
  expect(await moco('train', images, ...small, ...flags, '--out', first)).toMatchObject({ code: 0 });
  const config = (run: string) => JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')).config;
  expect(config(first)).toMatchObject({ method: 'moco-v2', mocoK: 64, arch: 'resnet-micro', imageSize: 16 });
  const second = folder();
  const begun = ['--init', first, '--max-steps', '1', '-j', '0', '--backend', 'ort', '--out', second];
  const { code, out: text } = await moco('train', images, ...begun);
  expect(code).toBe(0);
  expect(text).toContain(`that of ${first}`.slice(0, 20));
  // A tenth of the rate, and the images of the first run.
  expect(config(second)).toMatchObject({ arch: 'resnet-micro', imageSize: 16, lr: config(first).lr / 10 });
  const figures = JSON.parse(readFileSync(join(second, 'train.json'), 'utf8')).rows[0];
  const before = JSON.parse(readFileSync(join(first, 'train.json'), 'utf8')).rows[0];
  // What it began from is what the first run ended with.
  expect(figures.before).toBeCloseTo(before.after, 6);
  // Which it goes on without.
  rmSync(first, { recursive: true });
  const gone = await moco('train', '--resume', second, '--max-steps', '2');
  expect([gone.code, gone.err]).toEqual([0, '']);
  expect(JSON.parse(readFileSync(join(second, 'train.json'), 'utf8')).rows[0].before).toBe(figures.before);
});

it.each([
  ['no data', ['train'], /train needs DATA/],
  ['too few images', ['train', imageFolder(5)], /has 5 images: train needs at least 8/],
  ['no run folder to look into', ['train', 'x', '--resume', 'auto'], /--resume auto .* name it by --out/],
])('refuses %s', async (_, args, message) => {
  const { code, err } = await moco(...args);
  expect([code, err.trim().split('\n').length]).toEqual([1, 1]);
  expect(err).toMatch(message);
});

it('leaves all of it after an interrupt, and goes on', async () => {
  const out = folder();
  const images = imageFolder(40);
  const child = spawnMoco('train', images, ...small, '--epochs', '100000', '--save-every', '1', '--out', out);
  await printed(child, '3/100000 done');
  child.kill('SIGINT');
  expect(await child.ended).toEqual({ code: 130, signal: null });
  expect(left.filter((name) => !existsSync(join(out, name)))).toEqual([]);
  expect(child.output()).toContain('Interrupt again to leave at once');
  expect(child.output()).toContain(`Next:\n  moco train --resume ${out}\n`);
  const { globalStep } = logged(out, 'checkpoint').at(-1) as { globalStep: number };
  const gone = await moco('train', '--resume', out, '--max-steps', String(globalStep + 2));
  expect(gone.code).toBe(0);
  expect(gone.out).toContain(`step ${globalStep} of the run`);
  expect(gone.out).toContain('edited copies, R@1');
  const other = await moco('train', '--resume', out, '--preset', 'cifar10-demo');
  expect([other.code, other.err]).toEqual([
    1,
    expect.stringMatching(/--preset and --resume exclude each other/),
  ]);
});

it('compares edited copies alone, wherever they stand', () => {
  const knn = { measure: 'knn', pixels: 50, before: 50, after: 10, chance: 10 } as const;
  const copies = { measure: 'editedCopies', pixels: 10, before: 30, after: 40, chance: 1 } as const;
  expect(isBetter([knn, copies])).toBe(true);
  expect(
    isBetter([
      { ...knn, after: 90 },
      { ...copies, after: 30 },
    ]),
  ).toBe(false);
  expect(isBetter([knn])).toBe(true);
});

it('names commands that can be pasted, with the plugins of the run', () => {
  expect(nextCommands('my runs/a', { data: 'photos/' }, true)).toEqual([
    "moco train --resume 'my runs/a'",
    "moco embed 'my runs/a' photos/ --out 'my runs/a/vectors.parquet'",
    "moco map 'my runs/a/vectors.parquet' --out 'my runs/a/map.html'",
  ]);
  expect(nextCommands('r', { data: 'd', plugin: ['./my plugin.js'] }, false)[0]).toBe(
    "moco embed r d --out r/vectors.parquet --plugin './my plugin.js'",
  );
});

it('shows a recipe in 80 columns', () => {
  const reason = 'a reason that is long enough to need a second line, which begins below the first';
  const lines = recipeLine({ what: 'encoder', value: 'resnet18', reason }).split('\n');
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines[1]!.indexOf('which')).toBeGreaterThan(-1);
  expect(lines[1]!.search(/\S/)).toBe(lines[0]!.indexOf('a reason'));
  // A value that leaves no gap to its reason stands alone.
  const facts = recipeLine({ what: 'images', value: '13,034, 72 x 72', reason: '958 more' });
  expect(facts).toBe(`  images       13,034, 72 x 72\n${' '.repeat(31)}958 more`);
});
