import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../open.ts';
import { temporaryFolder, write } from '../testing.ts';

const root = temporaryFolder();

// Header of the idx format as the MNIST page gives it: 0x00000803 and 0x00000801, sizes as big-endian 32-bit integers.
const images = Buffer.from([
  0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 10, 20, 30, 40, 1, 2, 3, 4, 5, 6, 7, 8,
]);
const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 4]);

describe('idx files', () => {
  it.each(['', '.gz'])("reads images and labels ('%s')", async (ending) => {
    const folder = join(root, `idx${ending}`);
    const pack = (bytes: Buffer) => (ending === '' ? bytes : gzipSync(bytes));
    write(join(folder, `train-images-idx3-ubyte${ending}`), pack(images));
    write(join(folder, `train-labels-idx1-ubyte${ending}`), pack(labels));
    write(join(folder, `t10k-images-idx3-ubyte${ending}`), pack(images));
    const train = await openDataset(folder);
    expect([train.length, train.id(2), train.label(2)]).toEqual([3, 'train/2', 4]);
    expect(train.classes).toHaveLength(10);
    const image = await train.decode(1);
    expect([image.width, image.height]).toEqual([2, 2]);
    expect([...image.data]).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
    const test = await openDataset(folder, { split: 'test' });
    expect([test.id(0), test.label(0), test.classes]).toEqual(['test/0', undefined, undefined]);
  });

  it.each(['', '.gz'])("reads more than comes in one piece ('%s')", async (ending) => {
    const folder = join(root, `pieces${ending}`);
    const values = Buffer.from(Uint8Array.from({ length: 70 * 60 * 60 }, (_, i) => (i * 7 + (i >> 8)) & 255));
    const intact = Buffer.concat([Buffer.from([0, 0, 8, 3, 0, 0, 0, 70, 0, 0, 0, 60, 0, 0, 0, 60]), values]);
    write(join(folder, `train-images-idx3-ubyte${ending}`), ending === '' ? intact : gzipSync(intact));
    const { data } = await (await openDataset(folder)).decode(69);
    expect(Buffer.from(data.filter((_, i) => i % 3 === 0))).toEqual(values.subarray(69 * 3600));
  });

  it('names a damaged file, with sizes', async () => {
    const cases: [string, Record<string, Buffer>, RegExp][] = [
      [
        'cut',
        { 'train-images-idx3-ubyte': images.subarray(0, 25) },
        /train-images-idx3-ubyte: truncated: 25 bytes of the 28/,
      ],
      ['header', { 'train-images-idx3-ubyte': images.subarray(0, 9) }, /truncated: 9 bytes/],
      [
        'kind',
        { 'train-images-idx3-ubyte': labels },
        /not an idx file of 3 dimensions \(starts with 00000801/,
      ],
      [
        'gzip',
        { 'train-images-idx3-ubyte.gz': gzipSync(images).subarray(0, 20) },
        /damaged gzip file of 20 bytes/,
      ],
      ['split', { 't10k-images-idx3-ubyte': images }, /no train-images-idx3-ubyte/],
      [
        'count',
        {
          'train-images-idx3-ubyte': images,
          'train-labels-idx1-ubyte': Buffer.from([0, 0, 8, 1, 0, 0, 0, 2, 9, 0]),
        },
        /2 labels for the 3 images/,
      ],
    ];
    for (const [name, files, message] of cases) {
      const folder = join(root, name);
      for (const [file, bytes] of Object.entries(files)) write(join(folder, file), bytes);
      await expect(openDataset(folder)).rejects.toThrow(message);
    }
  });
});

/** A record: the label bytes, then planes of constant red, green and blue, the first pixel apart. */
function record(labelBytes: number[], rgb: [number, number, number]): Buffer {
  const planes = rgb.map((value) => Buffer.alloc(1024, value).fill(value + 1, 0, 1));
  return Buffer.concat([Buffer.from(labelBytes), ...planes]);
}

describe('CIFAR binaries', () => {
  it('reads CIFAR-10 in the order of its batches', async () => {
    const folder = join(root, 'cifar10');
    for (let i = 1; i <= 5; i++)
      write(join(folder, `data_batch_${i}.bin`), record([i], [i, 100 + i, 200 + i]));
    write(join(folder, 'test_batch.bin'), Buffer.concat([record([7], [1, 2, 3]), record([8], [4, 5, 6])]));
    const names = 'airplane automobile bird cat deer dog frog horse ship truck'.split(' ');
    write(join(folder, 'batches.meta.txt'), `${names.join('\n')}\n\n`);
    const train = await openDataset(folder);
    expect(train.length).toBe(5);
    expect(train.classes).toEqual(names);
    expect(train.label(3)).toBe(4);
    const image = await train.decode(3);
    expect([image.width, image.height]).toEqual([32, 32]);
    expect([...image.data.subarray(0, 6)]).toEqual([5, 105, 205, 4, 104, 204]);
    const test = await openDataset(folder, { split: 'test' });
    expect([test.length, test.label(1), test.id(1)]).toEqual([2, 8, 'test/1']);
  });

  it("reads CIFAR-100's fine labels, from the unpacked archive's parent", async () => {
    const folder = join(root, 'cifar100');
    write(join(folder, 'cifar-100-binary/train.bin'), record([11, 92], [1, 2, 3]));
    write(join(folder, 'cifar-100-binary/test.bin'), record([0, 3], [1, 2, 3]));
    const train = await openDataset(folder);
    expect([train.length, train.label(0), train.classes?.length]).toEqual([1, 92, 100]);
    expect([...(await train.decode(0)).data.subarray(0, 3)]).toEqual([2, 3, 4]);
  });

  it('names a damaged or missing file, with sizes', async () => {
    const folder = join(root, 'cifar-cut');
    for (let i = 1; i <= 4; i++) write(join(folder, `data_batch_${i}.bin`), record([i], [1, 2, 3]));
    await expect(openDataset(folder)).rejects.toThrow(/data_batch_5.bin: missing/);
    write(join(folder, 'data_batch_5.bin'), record([1], [1, 2, 3]).subarray(0, 3000));
    await expect(openDataset(folder)).rejects.toThrow(/data_batch_5.bin: truncated: 3000 bytes .* 3073/);
    write(join(folder, 'data_batch_5.bin'), record([10], [1, 2, 3]));
    await expect(openDataset(folder)).rejects.toThrow(/label 10 in record 0/);
  });
});
