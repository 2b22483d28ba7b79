/** Folders as people have them: labels go by the names of classes, in every command that reads them. */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors } from '@moco-ts/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { worseThanGuessing } from '../../../node/src/classify.ts';
import { imageFolder, logged, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const run = join(temporaryFolder(), 'run');
const small = ['-j', '0', '--threads', '1'];
const quick = [...small, '-b', '8', '--epochs', '2', '-p', '100', '--cache-features', '--lr', '0.1'];
const animals = ['cat', 'dog', 'elk'];

/** Both splits hold the same images, so that the nearest is of the right class whatever the encoder. */
function splits(count = 6): string {
  const folder = temporaryFolder();
  for (const split of ['train', 'val'])
    animals.forEach((name, i) => {
      writeImages(join(folder, split, name), count, 100 * i);
    });
  return folder;
}

const infoOf = (path: string) =>
  JSON.parse(decodeSafetensors(readFileSync(path), path).metadata.classifier!) as { classes: string[] };
const accuracyOf = (text: string) => /best Acc@1 [\d.]+ %/.exec(text)?.[0];

beforeAll(async () => {
  const made = await moco('pretrain', imageFolder(16), ...tiny, '--epochs', '1', '--out', run);
  expect(made).toMatchObject({ code: 0, err: '' });
});

describe('folders without images in one split', () => {
  const clean = splits();
  const messy = splits();
  for (const name of ['@eaDir', 'bee/empty']) mkdirSync(join(messy, 'train', name), { recursive: true });
  mkdirSync(join(messy, 'val/__MACOSX'));
  const notice = `moco: warning: ${messy}: no images in: @eaDir, __MACOSX, bee\n`;

  it('leave the accuracy of kNN', async () => {
    const evaluation = await moco('knn', run, messy, '-k', '1', ...small);
    expect(evaluation).toMatchObject({ code: 0, err: notice });
    expect(evaluation.out).toMatch(/kNN accuracy +100\.00 %/);
  });

  it.each(['lincls', 'finetune'])('leave that of %s and of its -e', async (command) => {
    const flags = command === 'lincls' ? quick : quick.filter((flag) => flag !== '--cache-features');
    const [out, other] = [join(temporaryFolder(), 'a'), join(temporaryFolder(), 'b')];
    const before = await moco(command, run, clean, ...flags, '--out', out);
    const after = await moco(command, run, messy, ...flags, '--out', other);
    expect([before.code, after.code, after.err]).toEqual([0, 0, notice]);
    expect(accuracyOf(before.out)).toBeDefined();
    expect(accuracyOf(after.out)).toBe(accuracyOf(before.out));
    const best = join(other, 'best.safetensors');
    expect(infoOf(best).classes).toEqual(animals);
    const again = await moco(command, best, messy, '-e', ...small);
    expect(again.out).toContain(accuracyOf(after.out)!.replace('best', 'test'));
  });

  it('leave the measure within a training', async () => {
    const folder = join(temporaryFolder(), 'run');
    const flags = [...tiny, '--epochs', '1', '--knn-every', '1', '--out', folder];
    expect(await moco('pretrain', messy, ...flags)).toMatchObject({ code: 0, err: notice });
    const [clean] = logged(folder, 'evaluation');
    const known = await moco('knn', folder, messy, ...small);
    expect(known.out).toContain(`${(clean!.knn as number).toFixed(2)} %`);
  });
});

it('a class that only one split has is named, and never right', async () => {
  const data = splits();
  rmSync(join(data, 'val/cat'), { recursive: true });
  renameSync(join(data, 'val/dog'), join(data, 'val/ape'));
  const { code, out, err } = await moco('knn', run, data, '-k', '1', ...small);
  expect(code).toBe(0);
  expect(err).toMatch(/warning: .*: no images to measure on in cat, dog\n/);
  expect(err).toMatch(/warning: .*: no images to learn from in ape, which counts as never right\n/);
  // The apes' nearest are dogs; the elk are found.
  expect(out).toMatch(/kNN accuracy +50\.00 %/);
});

describe('a classifier on data whose classes changed', () => {
  const data = splits();
  const out = join(temporaryFolder(), 'probe');
  const best = join(out, 'best.safetensors');
  beforeAll(async () => {
    expect(await moco('lincls', run, data, ...quick, '--out', out)).toMatchObject({ code: 0 });
  });
  const changed = (change: (folder: string, split: string) => void) => {
    const folder = temporaryFolder();
    cpSync(data, folder, { recursive: true });
    for (const split of ['train', 'val']) change(folder, split);
    return folder;
  };
  const move = (folder: string, split: string, from: string, to: string) =>
    renameSync(join(folder, split, from), join(folder, split, to));

  it('is measured by name where its classes are there, and refused where others are', async () => {
    const fewer = changed((folder, split) => {
      rmSync(join(folder, split, 'cat'), { recursive: true });
    });
    const [all, part] = [
      await moco('lincls', best, data, '-e', ...small),
      await moco('lincls', best, fewer, '-e', ...small),
    ];
    expect([all.code, part.code]).toEqual([0, 0]);
    expect(part.err).toMatch(/no test images of cat\n$/);
    // By number, dogs would be taken for cats: of 18 images, as many of dogs and elk are right as in the whole.
    const right = (text: string, count: number) =>
      Math.round((Number(/Acc@1 ([\d.]+)/.exec(text)![1]) * count) / 100);
    const cats = changed((folder, split) => {
      for (const name of ['dog', 'elk']) rmSync(join(folder, split, name), { recursive: true });
      writeImages(join(folder, split, 'dog'), 1, 100);
    });
    const rest = await moco('lincls', best, cats, '-e', ...small);
    const firstDog = right(rest.out, 7);
    expect(right(part.out, 12)).toBeLessThanOrEqual(right(all.out, 18));
    expect(right(all.out, 18) - right(part.out, 12)).toBeGreaterThanOrEqual(firstDog - 1);

    const other = changed((folder, split) => move(folder, split, 'dog', 'eel'));
    expect(await moco('lincls', best, other, '-e', ...small)).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^moco: .* has a class that .*best\.safetensors was not trained on: eel\n$/),
    });
  });

  it('is not gone on with', async () => {
    for (const [change, message] of [
      [
        (folder, split) => move(folder, split, 'dog', 'eel'),
        /has a class that .* was not trained on: eel\n$/,
      ],
      [
        (folder, split) => rmSync(join(folder, split, 'dog'), { recursive: true }),
        /was trained on a class that train no longer has|was trained on a class that .* no longer has: dog; train anew in another --out\n$/,
      ],
    ] as [Parameters<typeof changed>[0], RegExp][]) {
      const kept = temporaryFolder();
      const aside = join(kept, 'data');
      cpSync(data, aside, { recursive: true });
      const folder = join(kept, 'probe');
      await moco('lincls', run, aside, ...quick, '--out', folder);
      for (const split of ['train', 'val']) change(aside, split);
      const flags = [...quick, '--epochs', '3', '--out', folder, '--resume'];
      const resumed = await moco('lincls', run, aside, ...flags);
      expect(resumed).toMatchObject({ code: 1, err: expect.stringMatching(message) });
    }
  });
});

describe('a set without a test split', () => {
  const albums = temporaryFolder();
  writeImages(join(albums, '2019'), 12);
  writeImages(join(albums, '2020/may'), 12, 100);

  it('is measured by the line that pretrain prints, a part held out by a rule', async () => {
    const folder = join(temporaryFolder(), 'run');
    const made = await moco('pretrain', albums, ...tiny, '--epochs', '1', '--out', folder);
    expect(made).toMatchObject({ code: 0, err: '' });
    const [, line] = /Next: moco (knn .*)\n/.exec(made.out)!;
    const next = await moco(...line!.split(' ').map((word) => word.replaceAll("'", '')), ...small);
    expect(next.code).toBe(0);
    expect(next.err).toMatch(/no test split: \d of 24 images are held out by a fixed rule\n/);
    expect(next.out).toMatch(/kNN accuracy/);
    const held = await moco('knn', folder, albums, '--hold-out', '0.2', ...small);
    expect(held.out.split('\n')[1]).toBe(next.out.split('\n')[1]);
  });

  it('is measured by retrieval with --no-labels, or where folders are no classes', async () => {
    const { code, out, err } = await moco('knn', run, albums, '--no-labels', ...small);
    expect([code, err, out]).toEqual([0, '', expect.stringMatching(/edited copies/)]);
    expect(out).toMatch(/24 images/);
    const mixed = temporaryFolder();
    cpSync(albums, mixed, { recursive: true });
    writeImages(mixed, 8, 500);
    const other = await moco('knn', run, mixed, ...small);
    expect(other).toMatchObject({ code: 0, out: expect.stringMatching(/edited copies/) });
    expect(other.err).toMatch(
      /has no labels \(8 of its 32 images lie beside its folders.*\): retrieval is measured\n/,
    );
    const probed = await moco('lincls', run, mixed, ...quick, '--out', join(temporaryFolder(), 'o'));
    expect([probed.code, probed.err]).toEqual([
      1,
      expect.stringMatching(/has no labels \(8 of its 32 images lie beside .*\): a classifier needs/),
    ]);
  });

  it.each(['lincls', 'finetune'])(
    'is divided by %s, which makes its batch as small as it must',
    async (command) => {
      const folder = join(temporaryFolder(), 'o');
      const flags = ['--epochs', '1', '--out', folder, ...small];
      const { code, out, err } = await moco(command, run, albums, ...flags);
      expect(code).toBe(0);
      expect(err).toMatch(/no test split: \d of 24 images are held out/);
      const rate = command === 'lincls' ? '0.469, not 256 and 30' : '0.000625, not 64 and 0.01';
      expect(err).toContain(`batch 4 and lr ${rate}: there are`);
      const best = join(folder, 'best.safetensors');
      const again = await moco(command, best, '-e', ...small);
      expect(again.out).toContain(accuracyOf(out)!.replace('best', 'test'));
      expect((await moco(command, run, albums, ...flags, '--resume')).code).toBe(0);
      const asked = await moco(
        command,
        run,
        albums,
        '-b',
        '64',
        ...small,
        '--out',
        join(temporaryFolder(), 'p'),
      );
      expect(asked.err).toContain('--batch-size 64 is larger');
    },
  );
});

it('a stray image beside class folders is named and left out, and the labels stay', async () => {
  const data = splits();
  writeImages(join(data, 'train'), 1, 900);
  const { code, out, err } = await moco('knn', run, data, '-k', '1', ...small);
  expect([code, err]).toEqual([
    0,
    expect.stringMatching(/1 image has no label, so it is not used: train\/p000\.png\n$/),
  ]);
  expect(out).toMatch(/kNN accuracy +100\.00 %/);
  const probed = await moco('lincls', run, data, ...quick, '--out', join(temporaryFolder(), 'o'));
  expect(probed).toMatchObject({ code: 0, out: expect.stringContaining('18 images in 3 classes') });
});

it('a probe that ends worse than guessing says so, and what to try', async () => {
  const folder = join(temporaryFolder(), 'o');
  const flags = [...quick, '--lr', '1e6', '--out', folder];
  const { code, err } = await moco('lincls', run, splits(), ...flags);
  expect(code).toBe(0);
  expect(err).toMatch(
    /the mean loss is .*, worse than guessing, which has 1\.10: .* diverged; try --lr 100000\n$/,
  );
  expect(logged(folder, 'alarm')).toHaveLength(1);
  // ln 10 = 2.30: three times that at the end, a hundred times before.
  for (const [loss, atEnd, warned] of [
    [6.8, true, false],
    [7, true, true],
    [7, false, false],
    [231, false, true],
    [2.3, true, false],
  ] as const)
    expect(worseThanGuessing(loss, 10, atEnd) !== undefined).toBe(warned);
});
