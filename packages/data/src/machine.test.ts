import { join } from 'node:path';
import { DataError, UserError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { helperError, ifDamaged, MachineError, patiently } from './machine.ts';
import { inChild, temporaryFolder, writeImages } from './testing.ts';

const refusal = (code: string) => Object.assign(new Error(`${code}: refused`), { code });
const none = async () => undefined as never;

describe('what the machine refuses', () => {
  it.each(['EMFILE', 'ENFILE', 'ENOMEM', 'EIO', 'ESTALE'])('%s is tried again', async (code) => {
    const answers = [refusal(code), refusal(code), 'read'];
    const act = async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    };
    expect(await patiently('a.png', act, none)).toBe('read');
  });

  it.each([
    ['EMFILE', 'a.png: too many open files; raise the limit (ulimit -n) or give fewer workers'],
    ['EIO', 'a.png: the disk or network failed to read it (EIO)'],
  ])('%s without end is told, and is no damaged image', async (code, message) => {
    const failure = await patiently('a.png', () => Promise.reject(refusal(code)), none).catch(
      (error) => error,
    );
    expect(failure).toBeInstanceOf(MachineError);
    expect(failure).not.toBeInstanceOf(DataError);
    expect(failure.message).toBe(message);
    expect(() => ifDamaged(failure)).toThrow(failure);
  });

  it('other errors come as they are, at once', async () => {
    let asked = 0;
    const act = () => {
      asked++;
      return Promise.reject(refusal('ENOENT'));
    };
    await expect(patiently('a.png', act, none)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(asked).toBe(1);
  });
});

const folder = join(temporaryFolder(), 'few files');

it.runIf(process.platform === 'linux')('images are read, all, where few files can be open', async () => {
  await writeImages(folder, 30);
  const { answer } = await inChild(
    `import { closeSync, openSync } from 'node:fs';
import { openDataset } from './open.ts';
const set = await openDataset(${JSON.stringify(folder)});
await set.decode(0);
const open: number[] = [];
try {
  for (;;) open.push(openSync('/dev/null', 'r'));
} catch {}
// None is left for the first of them. Those that are freed are too few for all at once.
const decoded = Promise.allSettled(Array.from({ length: 300 }, (_, i) => set.decode(i % 30)));
setTimeout(() => open.slice(0, 3).forEach(closeSync), 30);
const failed = (await decoded).flatMap((one) => (one.status === 'rejected' ? [one.reason.message] : []));
answer({ open: open.length > 20, failed });`,
    '-n 90',
  );
  expect(answer).toEqual({ open: true, failed: [] });
});

it.each([
  Object.assign(new Error("EMFILE: too many open files, open 'worker.js'"), { code: 'EMFILE' }),
  Object.assign(new Error('Worker initialization failure: EMFILE'), { code: 'ERR_WORKER_INIT_FAILED' }),
])('a thread that finds no file descriptor is no defect: $message', (cause) => {
  const failure = helperError('a worker died', cause);
  expect(failure).toBeInstanceOf(MachineError);
  expect(failure.message).toBe(
    'no thread could be started: too many open files; raise the limit (ulimit -n) or give fewer workers',
  );
});

it('other deaths of threads are defects, told as they are', () => {
  const failure = helperError('a worker died 3 times: no such module', new Error('no such module'));
  expect(failure).not.toBeInstanceOf(UserError);
  expect(failure.message).toBe('a worker died 3 times: no such module');
});
