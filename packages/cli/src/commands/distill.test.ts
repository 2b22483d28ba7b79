import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors } from '@moco-ts/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { listCheckpoints } from '../../../node/src/checkpoint.ts';
import { differences, imageFolder, logged, moco, temporaryFolder } from '../testing.ts';

const images = imageFolder(20);
const root = temporaryFolder();
const machine = ['-j', '0', '--threads', '1', '-p', '1'];
const small = ['-a', 'resnet-micro', '--image-size', '16', '-b', '8', '--moco-k', '16', '--bn-splits', '1'];
/** A network of 16 px, its checkpoint, and the same as ONNX with and without preprocessing. */
const [run, plain, raw] = ['teacher', 'plain.onnx', 'raw.onnx'].map((name) => join(root, name)) as [
  string,
  string,
  string,
];

beforeAll(async () => {
  const flags = ['-a', 'resnet-tiny', '--image-size', '16', '-b', '8', '--method', 'simclr'];
  await moco('pretrain', images, ...flags, ...machine, '--max-steps', '1', '--out', run);
  await moco('export', run, '-o', plain);
  await moco('export', run, '-o', raw, '--with-preprocess');
});

const distil = (folder: string, teacher: string, ...more: string[]) =>
  moco(
    ...['pretrain', images, '--method', 'distill', '--teacher', teacher, ...small, ...machine],
    ...['--epochs', '4', '--out', folder, ...more],
  );
const losses = (folder: string) => logged(folder, 'step').map(({ loss }) => loss as number);
const newest = async (folder: string) => join(folder, (await listCheckpoints(folder))[0]!);
const stored = (folder: string) => JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).config;

describe('a teacher', () => {
  it('is a run, or an ONNX model with or without preprocessing: the features are the same', async () => {
    const all: number[][] = [];
    for (const [i, teacher] of [run, plain, raw].entries()) {
      const folder = join(root, `kind-${i}`);
      const { code, err, out } = await distil(folder, teacher, '--max-steps', '4');
      expect([code, err]).toEqual([0, '']);
      expect(out).toMatch(/Teacher: .*(resnet-tiny|"features").*256 features|256 features \("features"\)/);
      expect(stored(folder)).toMatchObject({ mocoDim: 256, teacherSize: 16, teacher });
      all.push(losses(folder));
    }
    const [first, ...others] = all as [number[], ...number[][]];
    expect(first).toHaveLength(4);
    // The same network by two lowerings of it: features within 1e-6, times 1 / T_t = 100.
    for (const [i, loss] of first.entries())
      for (const other of others) expect(other[i]).toBeCloseTo(loss, 2);
  });

  it.each([
    ['each view', []],
    ['each view, and gradients are summed', ['--accumulate', '2']],
    ['each image once', ['--cache-teacher']],
  ])('of %s is resumed to the bit', async (_, flags) => {
    const [once, parts] = [join(root, `once-${flags}`), join(root, `parts-${flags}`)];
    expect(await distil(once, plain, ...flags, '--max-steps', '5')).toMatchObject({ code: 0, err: '' });
    await distil(parts, plain, ...flags, '--max-steps', '3');
    expect(await moco('pretrain', '--resume', parts, '--max-steps', '5')).toMatchObject({ code: 0, err: '' });
    expect(losses(once)).toHaveLength(5);
    expect(losses(parts)).toEqual(losses(once));
    expect(differences(await newest(parts), await newest(once))).toEqual([]);
  });

  it('that sees images once teaches other features than one that sees views', async () => {
    const [views, once] = [join(root, 'once-'), join(root, 'once---cache-teacher')];
    expect(losses(views)).not.toEqual(losses(once));
    // Of the network's own features of the plain images, the queue holds the newest sixteen.
    const vectors = join(root, 'vectors.npy');
    expect(await moco('embed', run, images, '--out', vectors)).toMatchObject({ code: 0 });
    const bytes = readFileSync(vectors);
    const known = new Float32Array(bytes.buffer.slice(bytes.byteOffset + bytes.length - 20 * 256 * 4));
    const { queue } = decodeSafetensors(readFileSync(await newest(once)), 'once').tensors;
    expect(queue!.shape).toEqual([256, 16]);
    for (let column = 0; column < 16; column++) {
      const products = Array.from({ length: 20 }, (_, image) => {
        let sum = 0;
        for (let d = 0; d < 256; d++) sum += queue!.data[d * 16 + column]! * known[image * 256 + d]!;
        return sum;
      });
      // Unit vectors of float32, by two lowerings of the network.
      expect(Math.max(...products)).toBeCloseTo(1, 5);
    }
  });

  it('may move, but not become another', async () => {
    const [folder, moved] = [join(root, 'moved'), join(root, 'elsewhere.onnx')];
    await moco('export', run, '-o', moved);
    await distil(folder, moved, '--max-steps', '1');
    renameSync(moved, join(root, 'found.onnx'));
    const gone = await moco('pretrain', '--resume', folder, '--max-steps', '2');
    expect([gone.code, gone.err]).toEqual([1, expect.stringContaining('elsewhere.onnx')]);
    const other = await moco('pretrain', '--resume', folder, '--teacher', raw, '--max-steps', '2');
    expect(other).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^moco: .*raw\.onnx is not the teacher that this run began with \(its checksum is [0-9a-f]{8}, was [0-9a-f]{8}\): name that one by --teacher, or start a new run\n$/,
      ),
    });
    const found = await moco(
      ...['pretrain', '--resume', folder, '--teacher', join(root, 'found.onnx'), '--max-steps', '2'],
    );
    expect(found).toMatchObject({ code: 0, err: '' });
    expect(losses(folder)).toHaveLength(2);
  });

  it.each([
    ['none', [], /distill needs --teacher: an ONNX model, a run, a checkpoint or a file/],
    ['no file', ['--teacher', 'nowhere.onnx'], /nowhere\.onnx could not be read: no such file/],
    ['no model', ['--teacher', join(images, 'none')], /none: no such file or run folder/],
    [
      'features of another length',
      ['--teacher', plain, '--moco-dim', '64'],
      /--moco-dim 64 is not the length of the teacher's features, 256: leave it out/,
    ],
    [
      'images of another size',
      ['--teacher', plain, '--teacher-size', '32'],
      /images of 16 px, not --teacher-size 32/,
    ],
    ['a std of 0', ['--teacher', plain, '--teacher-std', '1,0,1'], /--teacher-std.*'1,0,1'.*above 0/],
  ])('that is %s is refused in one line', async (_, flags, message) => {
    const folder = join(root, 'refused');
    const { code, err } = await moco(
      ...['pretrain', images, '--method', 'distill', ...small, ...machine, ...flags, '--out', folder],
    );
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
    expect(err).toMatch(/^moco: [^\n]*\n$/);
    rmSync(folder, { recursive: true, force: true });
  });

  it('means nothing to a method that learns without one', async () => {
    const { code, err } = await moco('pretrain', images, '--teacher', plain);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/--teacher means nothing to moco-v1; it belongs to distill/),
    ]);
  });
});

describe('a distilled encoder', () => {
  const folder = join(root, 'once-');

  it('is measured, exported with and without its head, and told of', async () => {
    expect(await moco('knn', folder, '--random')).toMatchObject({ code: 0, err: '' });
    const model = join(root, 'student.onnx');
    expect(await moco('export', folder, '-o', model)).toMatchObject({ code: 0, err: '' });
    const head = await moco('export', folder, '-o', model, '--with-head');
    expect(head).toMatchObject({ code: 0, out: expect.stringContaining('256 features') });
    expect(await moco('info', folder)).toMatchObject({ code: 0, out: expect.stringContaining('distill') });
    const page = join(root, 'report.html');
    expect(await moco('report', folder, '-o', page)).toMatchObject({ code: 0, err: '' });
    expect(readFileSync(page, 'utf8')).toContain('Distance from the teacher');
  });

  it('comes back from PyTorch as it was, and is a teacher itself', async () => {
    const [torch, back] = [join(root, 'student.pth'), join(root, 'student.safetensors')];
    expect(await moco('convert', folder, '-o', torch, '--with-head')).toMatchObject({ code: 0, err: '' });
    expect(await moco('import', torch, '-o', back)).toMatchObject({ code: 0, err: '' });
    const read = (path: string) => decodeSafetensors(readFileSync(path), path).tensors;
    const [before, after] = [read(await newest(folder)), read(back)];
    const own = Object.keys(before).filter((name) => name.startsWith('q.'));
    for (const name of own) expect(after[name]!.data, name).toEqual(before[name]!.data);
    const next = join(root, 'next');
    expect(await distil(next, torch, '--max-steps', '1')).toMatchObject({ code: 0 });
    expect(stored(next)).toMatchObject({ mocoDim: 64, teacherSize: 16 });
  });
});
