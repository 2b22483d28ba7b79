/** Every method trains on XLA, resumes to the bit, and goes on from ONNX Runtime to XLA and back, by the ordinary commands. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { listCheckpoints } from '../../../node/src/checkpoint.ts';
import { differences, imageFolder, logged, moco, temporaryFolder } from '../testing.ts';

// Half of the time is LLVM's, whose optimisations are no part of what is tested here. XLA reads it when it compiles first.
process.env.XLA_FLAGS = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true';
const xla = `xla:${process.env.MOCO_XLA}`;
const images = imageFolder(20);
const byol = fileURLToPath(new URL('../../../../examples/method-byol/index.ts', import.meta.url));
const plugin = ['--plugin', byol];
const small = [
  ...['-a', 'resnet-micro', '--image-size', '16', '-b', '8', '--moco-dim', '8', '-j', '0', '--threads', '1'],
  ...['-p', '1', '--lr', '0.001', '--epochs', '4'],
];
const queue = ['--bn-splits', '2', '--moco-k', '16'];
const methods: readonly [name: string, flags: readonly string[], plugins: readonly string[]][] = [
  ['moco-v1', queue, []],
  ['moco-v2', queue, []],
  ['moco-v3', ['--moco-mlp-dim', '16'], []],
  ['simclr', [], []],
  ['instdisc', ['--moco-k', '12'], []],
  ['byol', ['--byol-hidden', '16'], plugin],
];
const newest = async (folder: string) => join(folder, (await listCheckpoints(folder))[0]!);
const losses = (folder: string) => logged(folder, 'step').map(({ loss }) => loss as number);

describe.each(methods)('%s', (method, flags, plugins) => {
  /** Steps up to `end`, from nothing or from a run on. */
  const go = async (folder: string, backend: string, end: number, from?: string) => {
    const start = from === undefined ? [images, '--method', method, ...small, ...flags] : ['--resume', from];
    const run = ['--out', folder, '--backend', backend, '--max-steps', `${end}`];
    expect(await moco('pretrain', ...start, ...plugins, ...run)).toMatchObject({ code: 0, err: '' });
    return losses(folder);
  };

  it('trains, resumes to the bit, and goes on from ort to xla and back', async () => {
    const folder = temporaryFolder();
    const at = (name: string) => join(folder, name);
    const undisturbed = await go(at('undisturbed'), xla, 4);
    expect(undisturbed).toHaveLength(4);
    expect(await go(at('part'), xla, 2)).toEqual(undisturbed.slice(0, 2));
    const onOrt = await go(at('to-ort'), 'ort', 4, at('part'));
    expect(await go(at('part'), xla, 4, at('part'))).toEqual(undisturbed);
    expect(differences(await newest(at('part')), await newest(at('undisturbed')))).toEqual([]);

    const ort = await go(at('ort'), 'ort', 4);
    expectClose(onOrt, ort.slice(2));
    await go(at('half'), 'ort', 2);
    expectClose(await go(at('to-xla'), xla, 4, at('half')), ort.slice(2));
  });
});

/** Of the two backends' rounding four steps make far less: backend-testing's trajectories have the same tolerance. */
function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((loss, i) => {
    expect(Math.abs(actual[i]! / loss - 1), `loss ${i}`).toBeLessThan(1e-3);
  });
}
