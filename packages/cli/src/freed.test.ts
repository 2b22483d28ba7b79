/** What a command opened is closed when it fails, wherever it fails: told by a backend that counts. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Backend, createBackend, type Program, registerBackend } from '@moco-ts/core';
import { registerPlugins } from '@moco-ts/node';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder, tiny, writeImages } from './testing.ts';

let open = { backends: 0, programs: 0 };
/** What fails, and how often it succeeds before. */
let failing: { readonly what: 'load' | 'run'; left: number } | undefined;

function step(what: 'load' | 'run'): void {
  if (failing?.what === what && failing.left-- === 0) throw new Error('the device is gone');
}

async function counting(): Promise<Backend> {
  const backend = await createBackend('reference');
  open.backends++;
  const count = (program: Program): Program => ({
    load: async (state) => {
      step('load');
      return program.load(state);
    },
    run: async (feeds) => {
      step('run');
      return program.run(feeds);
    },
    read: (names) => program.read(names),
    memory: program.memory,
    dispose: async () => {
      open.programs--;
      await program.dispose();
    },
  });
  return {
    name: 'counting',
    device: backend.device,
    capabilities: () => backend.capabilities(),
    compile: async (graph, options) => {
      const program = await backend.compile(graph, options);
      open.programs++;
      return count(program);
    },
    dispose: async () => {
      open.backends--;
      await backend.dispose();
    },
  };
}

const folder = temporaryFolder();
const images = imageFolder(24);
const labelled = join(folder, 'labelled');
const run = join(folder, 'run');
const small = [...tiny, '-a', 'resnet-micro', '--backend', 'counting'];
const counted = ['--backend', 'counting', '-j', '0'];

beforeAll(async () => {
  await registerPlugins();
  registerBackend('counting', async () => ({ name: 'counting', create: counting }));
  for (const [at, name] of ['train/a', 'train/b', 'test/a', 'test/b'].entries())
    writeImages(join(labelled, name), 8, 10 * at);
  writeFileSync(join(labelled, 'test', 'a', 'bad.png'), 'no image');
  // Three steps an epoch: it ends within one.
  const flags = ['--out', run, '--epochs', '2', '--max-steps', '1'];
  expect(await moco('pretrain', images, ...small, ...flags)).toMatchObject({ code: 0 });
});
beforeEach(() => {
  open = { backends: 0, programs: 0 };
  failing = undefined;
});

async function fails(message: string, ...args: string[]): Promise<void> {
  const { code, err } = await moco(...args);
  expect([code, err]).toEqual([1, expect.stringContaining(message)]);
  expect(open).toEqual({ backends: 0, programs: 0 });
}

it('pretrain, with a checkpoint that does not fit', () =>
  fails('keys a step', 'pretrain', '--resume', run, '--batch-size', '4'));

it.each([0, 1])('lincls and finetune, when load %i fails', async (left) => {
  for (const command of ['lincls', 'finetune']) {
    failing = { what: 'load', left };
    const out = join(folder, `${command}-${left}`);
    await fails('the device is gone', command, run, labelled, ...counted, '-b', '8', '--out', out);
  }
});

it('lincls, with more damaged images in the test split than are allowed', () => {
  const out = join(folder, 'damaged');
  return fails(
    'more than the 0 allowed',
    ...['lincls', run, labelled, ...counted, '-b', '8', '--out', out, '--max-bad', '0'],
  );
});

it('ablate, when the untrained network can not be measured', () => {
  failing = { what: 'run', left: 1 };
  const out = join(folder, 'ablation');
  const flags = ['-a', 'resnet-micro', '--image-size', '16', '-b', '8', '--moco-k', '16', '--moco-dim', '8'];
  return fails('the device is gone', 'ablate', images, ...flags, ...counted, '--out', out);
});

it('embed, when the weights can not be loaded', () => {
  failing = { what: 'load', left: 0 };
  return fails('the device is gone', 'embed', run, images, '--out', join(folder, 'a.npy'), ...counted);
});

it('dedupe and search --index, when the search fails', async () => {
  const file = join(folder, 'b.npy');
  expect(await moco('embed', run, images, '--out', file, ...counted)).toMatchObject({ code: 0 });
  for (const args of [
    ['dedupe', file],
    ['search', file, readdirSync(images)[0]!, '--index'],
  ]) {
    failing = { what: 'run', left: 0 };
    await fails('the device is gone', ...args, '--backend', 'counting');
  }
});

it.runIf(process.platform === 'linux')('embed, when one of its files can not be opened', async () => {
  const output = join(folder, 'c.npy');
  const again = () => moco('embed', run, images, '--out', output, ...counted);
  failing = { what: 'run', left: 0 };
  await again();
  const log = join(`${output}.partial`, 'log.jsonl');
  rmSync(log);
  mkdirSync(log);
  const files = () => readdirSync('/proc/self/fd').length;
  expect(await again()).toMatchObject({ code: 1 });
  const before = files();
  expect(await again()).toMatchObject({ code: 1 });
  expect(files()).toBe(before);
});
