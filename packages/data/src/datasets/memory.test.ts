/** Files that ask for more memory than they are worth, in a process whose memory is measured. */
import { execFileSync } from 'node:child_process';
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { inChild, temporaryFolder, write } from '../testing.ts';

const root = temporaryFolder();
/** MiB: the program alone has some 150. */
const MOST = 400;

const opened = (folder: string) =>
  inChild(`import { openDataset } from './open.ts';
const set = await openDataset(${JSON.stringify(folder)}).catch((error) => error);
answer(set instanceof Error ? [set.constructor.name, set.message] : set.length);`);

const head = (...sizes: number[]) => {
  const bytes = Buffer.alloc(4 + 4 * sizes.length);
  [0x0803, ...sizes].forEach((value, i) => {
    bytes.writeUInt32BE(value, 4 * i);
  });
  return bytes;
};
/** 3 GiB of zeros in as many MB. */
const zeros = () => Array<Buffer>(48).fill(gzipSync(Buffer.alloc(2 ** 26)));

it('reads in little memory an idx.gz that unpacks to gigabytes behind its images', async () => {
  const folder = join(root, 'behind');
  write(join(folder, 'train-images-idx3-ubyte.gz'), Buffer.concat([gzipSync(head(3, 2, 2)), ...zeros()]));
  const { answer, peak } = await opened(folder);
  expect(answer).toBe(3);
  expect(peak).toBeLessThan(MOST);
});

it('refuses in little memory an idx.gz whose header asks for gigabytes', async () => {
  const folder = join(root, 'asks');
  const file = join(folder, 'train-images-idx3-ubyte.gz');
  write(file, Buffer.concat([gzipSync(head(4_000_000, 28, 28)), ...zeros()]));
  const { answer, peak } = await opened(folder);
  expect(answer).toEqual([
    'DataError',
    expect.stringContaining(`${file}: too small a gzip file to hold images`),
  ]);
  expect(peak).toBeLessThan(MOST);
});

it.each([
  ['train-images-idx3-ubyte', head(4_000_000, 28, 28), 2 ** 20, 'truncated: 1048576 bytes of the 3136000016'],
  ['train-images-idx3-ubyte', head(2 ** 31, 2 ** 31, 2 ** 31), 2 ** 20, 'its header asks for'],
  ['data_batch_1.bin', Buffer.alloc(0), 3073 * 2 ** 20, '1048580 images, more than are held in memory'],
])('%s, plain, that is no more than a promise', async (name, bytes, length, message) => {
  const folder = join(root, message.slice(0, 8));
  if (name.startsWith('data'))
    for (let i = 1; i <= 5; i++) write(join(folder, `data_batch_${i}.bin`), Buffer.alloc(3073));
  write(join(folder, name), bytes);
  truncateSync(join(folder, name), length);
  const { answer, peak } = await opened(folder);
  expect(answer).toEqual(['DataError', expect.stringContaining(message)]);
  expect(peak).toBeLessThan(MOST);
});

it.runIf(process.platform === 'linux')('names a pipe in place of a file', async () => {
  const folder = join(root, 'pipe');
  write(join(folder, 'a.txt'), '');
  execFileSync('mkfifo', [join(folder, 'train-images-idx3-ubyte')]);
  expect((await opened(folder)).answer).toEqual([
    'DataError',
    `${join(folder, 'train-images-idx3-ubyte')}: no file`,
  ]);
});
