/** How every command speaks: to people, to programs (--json) and with --quiet, and which commands it names to follow. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  encoderNamed,
  encodeSafetensors,
  filled,
  initEncoder,
  initQueue,
  prefixed,
  type Tensor,
} from '@moco-ts/core';
import { registerPlugins } from '@moco-ts/node';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { shellWords } from '../../../tests/docs/markdown.ts';
import { createProgram, main, mannerOf } from './main.ts';
import { imageFolder, moco, temporaryFolder, tiny, writeImages } from './testing.ts';

// The demo speaks as it does, of few images and by quick steps.
vi.mock(import('@moco-ts/node'), async (original) => {
  const node = await original();
  const quick = { arch: 'resnet-micro', imageSize: 16, workers: 0, threads: 1, backend: 'ort' };
  return {
    ...node,
    autoTrain: ({ flags, ...request }, host) =>
      node.autoTrain(
        { ...request, flags: flags.data === 'emoji' ? { ...flags, ...quick, data: photos } : flags },
        host,
      ),
  };
});

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const [run, vectors, encoder, photos] = [at('run'), at('v.npy'), at('e.pth'), imageFolder(16)];
const micro = [...tiny, '-a', 'resnet-micro'];
/** What `bench` and `ablate` take of it: they print no steps. */
const recipe = tiny.slice(0, tiny.indexOf('-p'));
const labelled = at('labelled');
const alone = ['-j', '0', '--threads', '1'];
let count = 0;
/** A path of which nothing is there yet. */
const fresh = (end = '') => at(`fresh-${count++}${end}`);
const probe = ['-b', '4', '--epochs', '1', '--lr', '0.1', ...alone];
const sweep = [...recipe, '-a', 'resnet-micro', '--epochs', '1', '--seeds', '1', '--sweeps', 'bn'];

/** A line of each command that works. A command that is missing here fails. */
const lines: Readonly<Record<string, () => readonly string[]>> = {
  demo: () => ['--epochs', '1', '--out', fresh()],
  train: () => [photos, ...micro, '--backend', 'ort', '--epochs', '1', '--out', fresh()],
  pretrain: () => [photos, ...micro, '--epochs', '1', '--out', fresh()],
  knn: () => [run, photos, ...alone],
  lincls: () => [run, labelled, ...probe, '--out', fresh()],
  finetune: () => [run, labelled, ...probe, '--out', fresh()],
  info: () => [run],
  report: () => [run, '-o', fresh('.html')],
  export: () => [run, '-o', fresh('.onnx')],
  embed: () => [run, photos, '--out', fresh('.npy'), ...alone],
  search: () => [vectors, 'p001.png', '--threads', '1'],
  dedupe: () => [vectors, '--threshold', '-1', '--threads', '1'],
  map: () => [vectors, '--out', fresh('.html'), '--threads', '1'],
  import: () => [encoder, '-o', fresh('.safetensors')],
  convert: () => [run, '-o', fresh('.pth')],
  ablate: () => [photos, ...sweep, '--out', fresh()],
  presets: () => [],
  bench: () => [...recipe, '-a', 'resnet-micro', '--steps', '1', '--backend', 'reference'],
  backends: () => [],
  'backends install': () => ['xla:abacus'],
  shrink: () => [photos, '--size', '8', '--out', fresh(), '-j', '1'],
  replay: () => [at('spec.json'), '--in', at('in.safetensors'), '--out', fresh('.safetensors')],
};

/** What can't work without a network. */
const failing = new Set(['backends install']);
/** What `info` tells is what can follow; an ablation ends with its report. */
const hintless = new Set(['info', 'ablate']);

const spec = { arch: 'resnet-micro', dim: 8 };

/** What `replay` runs: two batches of black images. */
function batches(): Record<string, Tensor> {
  const config = {
    encoder: encoderNamed(spec.arch),
    encoderConfig: { imageSize: 8 },
    mlp: true,
    dim: spec.dim,
  };
  const image = filled([8, 3, 8, 8], 0);
  return {
    ...prefixed('q', initEncoder(config, 5)),
    queue: initQueue(spec.dim, 16, 5),
    'xq.0': image,
    'xk.0': image,
  };
}

const parsed = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);

const silent = { out: () => {}, err: () => {}, live: false, color: false };
const commands = createProgram(silent, () => {}).commands.flatMap((command) => [
  command.name(),
  ...command.commands.map((own) => `${command.name()} ${own.name()}`),
]);

beforeAll(async () => {
  await registerPlugins();
  for (const name of ['a', 'b']) writeImages(join(labelled, name), 8, name === 'a' ? 0 : 100);
  await moco('pretrain', photos, ...micro, '--epochs', '1', '--out', run);
  await moco('embed', run, photos, '--out', vectors, ...alone);
  await moco('convert', run, '-o', encoder);
  writeFileSync(at('spec.json'), JSON.stringify({ ...spec, K: 16, bnSplits: 2 }));
  writeFileSync(at('in.safetensors'), encodeSafetensors(batches()));
});

it('is tested of every command', () => {
  expect(Object.keys(lines).sort()).toEqual([...commands].sort());
});

describe.each(commands)('moco %s', (name) => {
  const line = (...flags: string[]) => [...name.split(' '), ...lines[name]!(), ...flags];
  const code = failing.has(name) ? 1 : 0;

  it('tells programs all in JSON: events, and last the result, on stdout', async () => {
    const told = await moco(...line('--json'));
    expect(told.code).toBe(code);
    const out = parsed(told.out);
    const result = out.at(-1);
    if (code === 0) expect(result).not.toHaveProperty('event');
    for (const event of out.slice(0, -1))
      expect(event).toEqual(expect.objectContaining({ event: expect.any(String) }));
    const remarks = parsed(told.err);
    for (const remark of remarks)
      expect(remark).toEqual(
        expect.objectContaining({
          level: expect.stringMatching(/^(note|warning|error)$/),
          message: expect.any(String),
        }),
      );
    expect(out).toHaveLength(code === 0 ? Math.max(1, out.length) : 0);
    if (code === 1) expect(remarks.at(-1)).toMatchObject({ level: 'error', code: expect.any(String) });
  });

  it('tells with --quiet the result alone', async () => {
    const quiet = await moco(...line('--quiet'));
    expect(quiet.code).toBe(code);
    expect(quiet.out).not.toMatch(/Next: |^Epoch /m);
    expect(quiet.err).not.toMatch(/moco: note: /);
  });

  it('names on a terminal commands that can follow, as they can be typed', async () => {
    const told: string[] = [];
    const take = (text: string) => void told.push(text);
    expect(await main(line(), { ...silent, columns: 80, out: take })).toBe(code);
    const out = told.join('');
    const lines = out.replace(/ in place of .*/, '');
    const [, hints = ''] = /^Next:\s+(moco .*(?:\n {2,}moco .*)*)/m.exec(lines) ?? [];
    if (code === 0 && !hintless.has(name)) expect(hints).toMatch(/^moco /);
    for (const hint of hints.split('\n').filter(Boolean)) {
      const program = createProgram(silent, () => {});
      for (const command of program.commands) command.action(() => undefined);
      const words = shellWords(hint.trim()).slice(1);
      await expect(program.parseAsync(words, { from: 'user' }), hint).resolves.toBeDefined();
    }
  });
});

it('tells programs of a fault by code, setting and value', async () => {
  const [fault] = parsed((await moco('pretrain', photos, '--lr', 'fast', '--json')).err);
  expect(fault).toEqual({
    level: 'error',
    code: 'setting-invalid',
    setting: 'lr',
    value: 'fast',
    message: expect.stringMatching(/^option '--lr <x>' argument 'fast' is invalid\. Give a number above 0/),
  });
  const code = async (...args: string[]) => parsed((await moco(...args, '--json')).err)[0]?.code;
  expect(await code('pretrain', photos, '--fast')).toBe('setting-unknown');
  expect(await code('embed', run)).toBe('setting-missing');
  expect(await code('dance')).toBe('input-invalid');
  expect(await code('knn', at('none'))).toBe('file-missing');
});

it('settles its manner before the line is parsed, up to --', () => {
  expect(mannerOf(['--json', 'search', 'x', '--', '--quiet'])).toEqual({
    manner: { json: true, quiet: false },
    rest: ['search', 'x', '--', '--quiet'],
  });
});

it('names what the run needs in the commands that can follow: plugins, and what computed it', async () => {
  const plugin = join(import.meta.dirname, '../../../examples/method-byol/index.ts');
  const out = fresh();
  const needs = ['--backend', 'reference', '--plugin', plugin];
  const made = await moco('pretrain', photos, ...micro, '--epochs', '1', '--out', out, ...needs);
  expect(made.out).toContain(
    `Next: moco knn ${out} ${photos} --backend reference --plugin ${plugin}\n      moco export ${out} -o model.onnx --plugin ${plugin}\n`,
  );
});

it('documents --json and --quiet in the help of every command', async () => {
  for (const name of commands) {
    const { out } = await moco(...name.split(' '), '--help');
    expect(out, name).toMatch(/--json .*JSON[\s\S]*--quiet /);
  }
});

it('logs the same steps for programs as the run folder does', async () => {
  const out = fresh();
  const { out: told } = await moco('pretrain', photos, ...micro, '--epochs', '2', '--out', out, '--json');
  const log = parsed(readFileSync(join(out, 'log.jsonl'), 'utf8'));
  const losses = (all: typeof log) => all.filter(({ event }) => event === 'step').map(({ loss }) => loss);
  expect(losses(log)).toHaveLength(4);
  expect(losses(parsed(told))).toEqual(losses(log));
  // With both it is one object.
  const both = ['--max-steps', '1', '--json', '--quiet'];
  const { out: alone } = await moco('pretrain', photos, ...micro, '--out', fresh(), ...both);
  expect(parsed(alone)).toEqual([expect.objectContaining({ outcome: 'stopped', skipped: 0 })]);
});
