import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createProgram } from './main.ts';
import { imageFolder, moco, temporaryFolder, tiny } from './testing.ts';

const silent = { out: () => {}, err: () => {}, live: false, color: false };
const commands = createProgram(silent, () => {}).commands.map((command) => command.name());

describe('help', () => {
  it.each([[], ...commands.map((name) => [name])])(
    'is readable at 80 columns, with examples: %s',
    async (...path) => {
      const { code, out } = await moco(...path, '--help');
      expect(code).toBe(0);
      expect(out).toContain('Examples:');
      for (const line of out.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    },
  );

  it('lists every command, and is what a bare moco prints', async () => {
    const { code, out } = await moco();
    expect(code).toBe(0);
    for (const name of commands) expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  it('of a command is what moco help prints too', async () => {
    expect(await moco('help', 'knn')).toEqual(await moco('knn', '--help'));
    expect(await moco('help')).toEqual(await moco('--help'));
    expect(await moco('help', 'dance')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/unknown command 'dance'/),
    });
  });

  it("has the official script's flags", async () => {
    const { out } = await moco('pretrain', '--help');
    const official =
      '-a --arch -j --workers --epochs --start-epoch -b --batch-size --lr --schedule --momentum --wd --weight-decay -p --print-freq --resume --seed --moco-dim --moco-k --moco-m --moco-t --mlp --aug-plus --cos --moco-mlp-dim --moco-m-cos --stop-grad-conv1 --warmup-epochs --optimizer --crop-min';
    for (const flag of official.split(' ')) expect(out).toMatch(new RegExp(`(^|[ ,])${flag}[ ,]`, 'm'));
  });
});

describe('bad input: one line that names it, exit 1, nothing written', () => {
  const images = imageFolder(12);
  const empty = temporaryFolder();
  const out = join(temporaryFolder(), 'run');
  const train = (...flags: string[]) => ['pretrain', images, ...tiny, '--out', out, ...flags];
  const table: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no such folder', ['pretrain', join(empty, 'no'), '--out', out], /no: no such folder/],
    ['an empty folder', ['pretrain', empty, '--out', out], /no images in this folder/],
    ['no data', ['pretrain', '--out', out], /pretrain needs DATA/],
    ['K % batch != 0', train('--moco-k', '17'), /--moco-k 17 is no multiple of the 8 keys.*16/],
    ['K % 2 batch != 0', train('--moco-k', '24', '--symmetric'), /--moco-k 24 is no multiple of the 16 keys/],
    ['a batch larger than the set', train('-b', '16'), /--batch-size 16 is larger than .* 12 images/],
    ['an uneven split', train('--bn-splits', '3'), /a batch of 8 can't be normalised in 3 groups/],
    ['an unknown arch', train('-a', 'resnet17'), /there is no arch "resnet17"; known are: .*resnet18/],
    ['an unknown backend', train('--backend', 'abacus'), /there is no backend "abacus"/],
    [
      'an unknown designer',
      ['pretrain', 'emoji', ...tiny, '--designers', 'dali', '--out', out],
      /no designer 'dali'/,
    ],
    ['no number', train('--lr', 'fast'), /'--lr <x>' argument 'fast' is invalid. Give a number above 0/],
    ['a negative number', train('--wd', '-1'), /--weight-decay <x>' argument '-1' is invalid/],
    [
      'half an epoch',
      train('--epochs', '1.5'),
      /'--epochs <n>' argument '1.5' is invalid. Give a whole number/,
    ],
    ['no batch', train('-b', '0'), /--batch-size <n>' argument '0' is invalid/],
    ['a momentum above 1', train('--moco-m', '1.1'), /'--moco-m <x>' argument '1.1' is invalid/],
    ['an unknown normalisation', train('--bn', 'layer'), /Choose from shuffle, split, sync, plain/],
    ['an unknown method', train('--method', 'byol'), /'byol' is invalid. Choose from moco-v1, moco-v2/],
    ['a flag of another method', train('--method', 'simclr'), /--moco-k means nothing to simclr/],
    ['an unknown preset', train('--preset', 'best'), /'best' is invalid. Choose from moco-v1-200ep/],
    ['an unknown flag', train('--fast'), /unknown option '--fast'/],
    ['an unknown command', ['dance'], /unknown command 'dance'|too many arguments/],
    ['no checkpoint', train('--resume', join(empty, 'no')), /no such checkpoint or run folder/],
    ['an evaluation without test images', ['knn', empty], /holds no checkpoint/],
    ['an odd model name', ['export', empty, '-o', 'model.pt'], /should end in \.onnx/],
    [
      'threads beyond reason',
      train('--threads', '100000'),
      /'100000' is invalid. Give a whole number from 1 to 1024/,
    ],
    [
      'vectors beyond reason',
      train('--moco-dim', '1e9'),
      /'1e9' is invalid. Give a whole number from 1 to 16384/,
    ],
    [
      'a queue that no machine holds',
      train('--moco-k', '16777216', '--moco-dim', '16384'),
      /--moco-k 16777216 of --moco-dim 16384 is more than 4 GB/,
    ],
    [
      'views that no machine holds',
      train('-b', '4096', '--image-size', '4096'),
      /--batch-size 4096 of --image-size 4096 is more than 4 GB/,
    ],
    [
      'a path that no system takes',
      ['import', 'x.pth', '-o', `${'a/'.repeat(2500)}x.safetensors`],
      /the path is too long \(ENAMETOOLONG\)/,
    ],
    [
      'a name that no system takes',
      ['pretrain', images, ...tiny, '--out', join(out, 'n'.repeat(5000))],
      /the path is too long \(ENAMETOOLONG\)/,
    ],
    ['no spec', ['replay', join(empty, 'no'), '--in', 'x', '--out', 'y'], /no could not be read/],
  ];

  it.each(table)('%s', async (_, args, message) => {
    const result = await moco(...args);
    expect(result.code).toBe(1);
    expect(result.err).toMatch(message);
    expect(result.err).toMatch(/^moco: /);
    expect(result.err.trim().split('\n')).toHaveLength(1);
    expect(existsSync(out)).toBe(false);
  });

  it('every flag that takes a number has bounds', async () => {
    const beyond: string[] = [];
    for (const command of commands) {
      const { out: help } = await moco(command, '--help');
      for (const [, flag] of help.matchAll(/(--[a-z0-9-]+) <(?:n|x|px|pixels|epochs\.\.\.)>/g)) {
        const { code, err } = await moco(command, flag!, '1e99');
        if (code !== 1 || !/^moco: option '.*' argument '1e99' is invalid\. Give a .*\n$/.test(err))
          beyond.push(`${command} ${flag}: ${err}`);
      }
    }
    expect(beyond).toEqual([]);
  });

  it('damaged images beyond --max-bad', async () => {
    const folder = imageFolder(12);
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'broken.png'), 'no image');
    const args = ['pretrain', folder, ...tiny, '--epochs', '3', '--out', join(temporaryFolder(), 'run')];
    const refused = await moco(...args, '--max-bad', '0');
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(/1 damaged image, more than the 0/),
    ]);
    const passed = await moco(...args, '--max-bad', '1');
    expect([passed.code, passed.err]).toEqual([0, expect.stringMatching(/warning: left out: .*broken\.png/)]);
    expect(passed.out).toContain('1 damaged image was left out');
  });
});

it('keeps the stack of a defect, and shows that of a user error on demand', async () => {
  const before = process.env.MOCO_DEBUG;
  process.env.MOCO_DEBUG = '1';
  try {
    expect((await moco('pretrain', '/no/such/folder')).err).toMatch(/^moco: .*\n.*DataError[\s\S]*at /);
  } finally {
    if (before === undefined) delete process.env.MOCO_DEBUG;
    else process.env.MOCO_DEBUG = before;
  }
});

it('warns of plain batch normalisation', async () => {
  const args = ['pretrain', imageFolder(8), ...tiny, '--bn', 'plain', '--epochs', '1'];
  const { code, err } = await moco(...args, '--out', join(temporaryFolder(), 'run'));
  expect(code).toBe(0);
  expect(err).toMatch(/warning: plain batch normalisation on one rank/);
});
