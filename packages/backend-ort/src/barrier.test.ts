/** What ONNX Runtime runs of a graph with a barrier, by its own profile. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  barrier,
  conv2d,
  type Graph,
  rng,
  sub,
  type Tensor,
  type Traced,
  tanh,
  tensor,
  trace,
} from '@moco-ts/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type OrtOptions, ortPlugin } from './plugin.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'barrier-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const drawn = (name: string, shape: readonly number[]): Tensor => {
  const random = rng(0, name);
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(Float32Array.from({ length: size }, random.normal), shape);
};
const feeds = { x: drawn('x', [16, 16, 4, 4]), w: drawn('w', [16, 16, 3, 3]) };

/** The outputs, and the ops in the order in which they ran. */
async function run(graph: Graph, block: 0 | undefined) {
  const options: OrtOptions = { threads: 1, profile: join(folder, 'ran'), ...(block === 0 && { block }) };
  const backend = await ortPlugin.create(options);
  const program = await backend.compile(graph);
  const outputs = await program.run(feeds);
  await program.dispose();
  await backend.dispose();
  const [file] = readdirSync(folder);
  const events: readonly { name: string; args?: { op_name?: string } }[] = JSON.parse(
    readFileSync(join(folder, file!), 'utf8'),
  );
  const ran = events.filter(({ name }) => name.endsWith('_kernel_time'));
  return { outputs, ops: ran.map(({ args }) => args?.op_name) };
}

/** A convolution, something of its result, and the same convolution of what `late` makes of x, of which nothing else is read. */
const twice = (late: (x: Traced, after: Traced) => Traced): Graph =>
  trace((builder) => {
    const [x, w] = [builder.input('x', feeds.x.shape), builder.input('w', feeds.w.shape)];
    const first = conv2d(x, w, { padding: 1 });
    const after = tanh(first);
    return { after, difference: sub(first, conv2d(late(x, after), w, { padding: 1 })) };
  });

it.each([
  ['blocked', undefined],
  ['plain NCHW', 0],
] as const)('what is computed behind a barrier runs again, and late, %s', async (_, block) => {
  const { outputs, ops } = await run(twice(barrier), block);
  expect(ops.filter((op) => op === 'Conv')).toHaveLength(2);
  expect(ops.lastIndexOf('Conv')).toBeGreaterThan(ops.indexOf('Tanh'));
  expect(new Set(outputs.difference!.data)).toEqual(new Set([0]));
});
it('what is computed without one is merged', async () => {
  const { ops } = await run(
    twice((x) => x),
    0,
  );
  expect(ops.filter((op) => op === 'Conv')).toHaveLength(1);
});
