/** Files that are none, or that would take all memory: refused in one line, at once, in bounded memory. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { imageFolder, moco, printed, spawnMoco, temporaryFolder } from '../testing.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const images = imageFolder(2);

describe.skipIf(process.platform === 'win32')('what is no regular file', () => {
  execFileSync('mkfifo', [at('pipe')]);
  execFileSync('mkfifo', [at('pipe.onnx')]);
  execFileSync('mkfifo', [at('pipe.npy')]);
  execFileSync('ln', ['-s', '/dev/zero', at('zero.parquet')]);
  mkdirSync(at('run'));
  execFileSync('mkfifo', [at('run/checkpoint-0001.safetensors')]);
  execFileSync('mkfifo', [at('run/log.jsonl')]);
  it.each([
    ['a pipe to import', ['import', at('pipe'), '-o', at('o.safetensors')]],
    ['a device to import', ['import', '/dev/zero', '-o', at('o.safetensors')]],
    ['a pipe as an encoder', ['knn', at('pipe'), images]],
    ['a device as an encoder', ['embed', '/dev/zero', images, '--out', at('o.npy')]],
    ['a pipe as a model', ['embed', at('pipe.onnx'), images, '--out', at('o.npy')]],
    ['a pipe as a checkpoint of a run', ['knn', at('run'), images]],
    ['a pipe as a log', ['report', at('run')]],
    ['a pipe as a classifier', ['lincls', at('pipe'), images, '-e']],
    ['a device to convert', ['convert', '/dev/zero', '-o', at('o.pth')]],
    ['a pipe as a set', ['search', at('pipe.npy'), 'x']],
    ['a device as a set', ['dedupe', at('zero.parquet')]],
    ['a pipe as a spec', ['replay', at('pipe'), '--in', 'x', '--out', at('o')]],
    ['a device as input', ['replay', at('spec.json'), '--in', '/dev/zero', '--out', at('o')]],
    ['a pipe to resume', ['pretrain', '--resume', at('pipe')]],
  ])('%s', async (_, args) => {
    writeFileSync(at('spec.json'), '{}');
    const { code, err } = await moco(...args);
    expect([code, err]).toEqual([1, expect.stringMatching(/is no file/)]);
    expect(err.trim().split('\n')).toHaveLength(1);
  });
});

it('an archive of 200,000 records is refused in bounded memory', async () => {
  writeFileSync(at('many.pth'), manyRecords(200_000));
  const before = process.env.NODE_OPTIONS;
  // Eight times less than its entries took; more than this ends the process.
  process.env.NODE_OPTIONS = `${before ?? ''} --max-old-space-size=200`;
  const child = spawnMoco('import', at('many.pth'), '-o', at('o.safetensors'));
  if (before === undefined) delete process.env.NODE_OPTIONS;
  else process.env.NODE_OPTIONS = before;
  await printed(child, 'it holds more than 20000 records');
  expect(await child.ended).toEqual({ code: 1, signal: null });
}, 120_000);

/** A zip file of empty records. */
function manyRecords(count: number): Uint8Array {
  const [locals, central]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (let i = 0; i < count; i++) {
    const name = Buffer.from(`a/data/${i}`);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    locals.push(local, name);
    central.push(entry, name);
    offset += local.length + name.length;
  }
  const directory = Buffer.concat(central);
  // Of zip64, since there are more than 65,535.
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeBigUInt64LE(BigInt(count), 24);
  end64.writeBigUInt64LE(BigInt(count), 32);
  end64.writeBigUInt64LE(BigInt(directory.length), 40);
  end64.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + directory.length), 8);
  locator.writeUInt32LE(1, 16);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(0xffff, 8);
  end.writeUInt16LE(0xffff, 10);
  end.writeUInt32LE(0xffffffff, 12);
  end.writeUInt32LE(0xffffffff, 16);
  return Buffer.concat([...locals, directory, end64, locator, end]);
}
