import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encoderNamed, prefixed, rng, type Wording } from '@moco-ts/core';
import { registerEncoders } from '@moco-ts/encoders';
import { encodeTorch } from '@moco-ts/exchange';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../../../node/src/checkpoint.ts';
import { planRun } from '../../../node/src/plan.ts';
import { train } from '../../../node/src/train.ts';
import { imageFolder, logged, moco, quietReporter, temporaryFolder, tiny } from '../testing.ts';
import { inFlags } from '../words.ts';

registerEncoders();
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(20);
const resnet18 = at('resnet18.pth');
writeFileSync(
  resnet18,
  await encodeTorch(encoderNamed('resnet18').init({ imageSize: 64 }, (name) => rng(3, name))),
);
const [, , ...withoutArch] = tiny;
const run = (init: string, out: string, ...args: string[]) =>
  moco('pretrain', images, ...withoutArch, '--init', init, '--epochs', '1', '--out', at(out), ...args);
const configOf = (out: string) => JSON.parse(readFileSync(join(at(out), 'config.json'), 'utf8')).config;

describe('moco pretrain --init', () => {
  it("has the file's architecture and stem where no flag says otherwise, and goes on from its weights", async () => {
    const { code, out } = await run(resnet18, 'r18', '--max-steps', '1', '--lr', '1e-9');
    expect(code).toBe(0);
    expect(out).toContain(
      `From ${resnet18}: 100 tensors of resnet18; random: 4 (fc.0.weight, fc.0.bias, fc.2.weight, fc.2.bias)\n`,
    );
    expect(out).not.toContain('--lr');
    // Images of 16 pixels have the CIFAR stem where nothing says otherwise.
    expect(configOf('r18')).toMatchObject({ arch: 'resnet18', stem: 'imagenet', init: resnet18 });
    const { tensors } = await readCheckpoint(join(at('r18'), 'checkpoint-0000-00001.safetensors'));
    const given = encoderNamed('resnet18').init({ imageSize: 64 }, (name) => rng(3, name));
    const name = 'layer3.1.conv2.weight';
    for (const branch of ['q', 'k'])
      tensors[`${branch}.${name}`]!.data.slice(0, 50).forEach((value, i) => {
        expect(value).toBeCloseTo(given[name]!.data[i]!, 6);
      });
  });

  it('takes a run folder with its head, and the rate that it says to lower', async () => {
    expect((await moco('pretrain', images, ...tiny, '--epochs', '1', '--out', at('first'))).code).toBe(0);
    const rate = withoutArch.indexOf('--lr');
    const open = withoutArch.toSpliced(rate, 2);
    const second = ['pretrain', images, ...open, '--init', at('first'), '--epochs', '1'];
    const { code, out } = await moco(...second, '--out', at('second'));
    expect(code).toBe(0);
    expect(out).toContain(
      `From ${join(at('first'), 'checkpoint-0001.safetensors')}: 64 tensors of resnet-tiny\n`,
    );
    expect(out).toMatch(/^Note: .* \(--lr\)\.\n/);
    expect(logged(at('second'), 'step')).toHaveLength(2);
    const again = await moco('pretrain', '--resume', at('second'), '--init', at('first'), '--epochs', '2');
    expect([again.code, again.out.includes('From ')]).toEqual([0, false]);
    const other = await moco('pretrain', '--resume', at('second'), '--init', resnet18);
    expect([other.code, other.err]).toEqual([
      1,
      expect.stringMatching(/^moco: .* has .*first, but --init asks for .*resnet18\.pth; leave --init out/),
    ]);
    const plain = await moco('pretrain', '--resume', at('first'), '--init', resnet18);
    expect(plain.err).toMatch(/was made without, but --init asks for/);
  });

  it('reads its file once, and has its mean and deviation, or those of the flags', async () => {
    const file = at('own-pixels.safetensors');
    const given = encoderNamed('resnet-tiny').init({ imageSize: 16 }, (name) => rng(3, name));
    writeFileSync(at('plain.pth'), await encodeTorch(given));
    const pixels = ['--mean', '0.5', '--std', '0.2,0.3,0.4'];
    expect((await moco('import', at('plain.pth'), '-o', file, ...pixels)).err).not.toContain('mean');
    const flags = {
      arch: 'resnet-tiny',
      imageSize: 16,
      method: 'moco-v2',
      mocoK: 16,
      batchSize: 8,
      bnSplits: 2,
    } as const;
    const quiet = { warn: () => undefined, note: () => undefined };
    const wish = { flags: { ...flags, data: images, init: file, maxSteps: 1 }, out: at('once') };
    const plan = await planRun(wish, quiet);
    rmSync(file);
    expect(plan.config).toMatchObject({ mean: [0.5, 0.5, 0.5], std: [0.2, 0.3, 0.4] });
    const stop = { requested: false };
    const { outcome } = await train({ ...plan, reporter: quietReporter, stop });
    expect(outcome).toBe('stopped');
    const { code } = await run(at('once'), 'twice', '--max-steps', '1', '--mean', '0.1');
    expect(code).toBe(0);
    expect(configOf('twice')).toMatchObject({ mean: [0.1, 0.1, 0.1], std: [0.2, 0.3, 0.4] });
    for (const [value, message] of [
      ['0.1,0.2', 'Give a list of 3 values.'],
      ['red', 'Give a number from -1000 to 1000.'],
    ] as const)
      expect((await run(at('once'), 'never', '--mean', value)).err).toContain(message);
  });

  it('says what the stem of its weights leaves of small images', async () => {
    const notes: string[] = [];
    const listen = { warn: () => undefined, note: (text: Wording) => notes.push(inFlags(text)) };
    const flags = { data: images, init: resnet18, imageSize: 32 };
    await planRun({ flags, out: at('never') }, listen);
    expect(notes.filter((line) => line.includes('stem'))).toEqual([
      "Note: the stem is the weights', for larger images: of 32 px it leaves a last map of 1 x 1; try a larger --image-size, or --stem cifar, whose first convolution begins random.",
    ]);
    notes.length = 0;
    await planRun({ flags: { ...flags, stem: 'cifar' }, out: at('never') }, listen);
    expect(notes.filter((line) => line.includes('stem'))).toEqual([]);
  });

  it('needs its file no more once the run is there', async () => {
    const file = at('gone.pth');
    const given = encoderNamed('resnet-tiny').init({ imageSize: 16 }, (name) => rng(3, name));
    writeFileSync(file, await encodeTorch(given));
    const line = (...args: string[]) => run(file, 'kept', '-a', 'resnet-tiny', '--resume', 'auto', ...args);
    expect((await line('--max-steps', '1')).code).toBe(0);
    rmSync(file);
    expect(await line('--max-steps', '2')).toMatchObject({ code: 0, err: '' });
  });

  it('is found again by --resume auto, under the name that the architecture of its file gives', async () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      const line = [
        'pretrain',
        images,
        ...withoutArch,
        '--init',
        resnet18,
        '--epochs',
        '1',
        '--resume',
        'auto',
      ];
      const first = await moco(...line, '--max-steps', '1');
      expect(first.code).toBe(0);
      const again = await moco(...line, '--max-steps', '2');
      expect([again.code, again.out.includes('From ')]).toEqual([0, false]);
    } finally {
      process.chdir(before);
    }
  });

  it.each([
    ['another architecture', ['-a', 'resnet34'], /resnet34 are missing/],
    ['another kind of block', ['-a', 'resnet50'], /that of resnet50 \[64, 64, 1, 1\]: it is of resnet18/],
    ['a file that is not there', ['--init', at('no.pth')], /no\.pth: no such file or run folder/],
    ['a file of another kind', ['--init', join(images, 'p000.png')], /neither a file of torch\.save nor/],
  ])('refuses %s in one line', async (_, args, message) => {
    const { code, err } = await run(resnet18, 'never', ...args);
    expect([code, err.trim().split('\n')]).toEqual([1, [expect.stringMatching(message)]]);
    expect(existsSync(at('never'))).toBe(false);
  });

  it('refuses weights that are not finite', async () => {
    const given = encoderNamed('resnet-tiny').init({ imageSize: 16 }, (name) => rng(3, name));
    (given['bn1.bias']!.data as Float32Array)[0] = Number.NaN;
    writeFileSync(at('nan.pth'), await encodeTorch(prefixed('backbone', given)));
    const { code, err } = await run(at('nan.pth'), 'never');
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/"q\.bn1\.bias" holds values that are not finite/),
    ]);
  });
});
