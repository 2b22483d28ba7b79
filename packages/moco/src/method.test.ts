/** Methods that a program hands over as objects. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { byol } from '../../../examples/method-byol/index.ts';
import { differences, imageFolder, moco, temporaryFolder } from '../../cli/src/testing.ts';
import { type Encoder, pretrain } from './index.ts';

const images = imageFolder(20);
const example = (path: string) => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));
const options = {
  ...{ data: images, imageSize: 16, batchSize: 8, mocoDim: 8, workers: 0, threads: 1 },
  ...{ epochs: 2, maxSteps: 3, seed: 1, byolHidden: 16 },
} as const;
const flags = [
  ...['--image-size', '16', '-b', '8', '--moco-dim', '8', '-j', '0', '--threads', '1'],
  ...['--epochs', '2', '--max-steps', '3', '--seed', '1', '--byol-hidden', '16'],
];

describe('a method object', () => {
  it('trains to the bit as the plugin of the command does, with a setting of its own', async () => {
    const [own, commanded] = [join(temporaryFolder(), 'run'), join(temporaryFolder(), 'run')];
    const run = pretrain({ ...options, arch: 'resnet-tiny', method: byol, out: own });
    const names = new Set<string>();
    for await (const { metrics, acc1 } of run) {
      expect(acc1).toBeUndefined();
      for (const name of Object.keys(metrics)) names.add(name);
    }
    expect([...names].sort()).toEqual(['featureStd', 'loss']);
    const { checkpoint, config } = await run.result;
    expect(config).toMatchObject({ method: 'byol', byolHidden: 16, mocoM: 0.996, optimizer: 'lars' });
    const plugin = ['--plugin', example('method-byol/index.ts'), '--method', 'byol'];
    const command = ['pretrain', images, ...plugin, '-a', 'resnet-tiny', ...flags, '--out', commanded];
    expect(await moco(...command)).toMatchObject({ code: 0, err: '' });
    expect(differences(checkpoint, join(commanded, 'checkpoint-0001-00001.safetensors'))).toEqual([]);
  });

  it('goes with an encoder object, and both are resumed to the bit', async () => {
    // A package in JavaScript, without types.
    const { mixer } = (await import(example('encoder-mixer/index.js'))) as { readonly mixer: Encoder };
    const objects = { method: byol, arch: mixer } as const;
    const [at, parts] = [join(temporaryFolder(), 'run'), join(temporaryFolder(), 'run')];
    const once = await pretrain({ ...options, ...objects, out: at }).result;
    expect(once.config).toMatchObject({ method: 'byol', arch: 'mixer' });
    await pretrain({ ...options, ...objects, maxSteps: 1, out: parts }).result;
    const twice = await pretrain({ ...objects, resume: parts, maxSteps: 3 }).result;
    expect(differences(once.checkpoint, twice.checkpoint)).toEqual([]);
    const stored = JSON.parse(readFileSync(join(parts, 'config.json'), 'utf8'));
    expect(stored.config).toMatchObject({ method: 'byol', arch: 'mixer', byolHidden: 16 });
  });

  it.each([
    ['a setting out of its range', { method: byol, byolHidden: 0 }, 'setting-invalid', 'byolHidden'],
    ['a setting of another method', { method: byol, symmetric: true }, 'setting-conflict', 'symmetric'],
    [
      "a method's own setting without it",
      { method: 'moco-v2', byolHidden: 8 },
      'setting-unknown',
      'byolHidden',
    ],
    ['no method', { method: {} }, 'setting-invalid', 'method'],
    [
      'one by the name of a built-in one',
      { method: { ...byol, name: 'simclr' } },
      'plugin-invalid',
      undefined,
    ],
  ])('is refused with %s', async (_, wrong, code, setting) => {
    const { byolHidden: _own, ...shared } = options;
    const given = { ...shared, arch: 'resnet-tiny', ...wrong };
    const out = join(temporaryFolder(), 'never');
    const error = await pretrain({ ...(given as object), out } as never).result.catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ code, ...(setting !== undefined && { setting }) });
  });
});
