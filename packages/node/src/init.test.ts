import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  encoderGraph,
  encodeSafetensors,
  interpret,
  type Params,
  registerEncoder,
  rng,
  under,
} from '@moco-ts/core';
import { defineResnet, defineVit } from '@moco-ts/encoders';
import { createMethod, resolveConfig } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { flagsFrom, startingState } from './init.ts';
import { readText } from './source.ts';

const fixture = (name: string) =>
  fileURLToPath(new URL(`../../../parity/fixtures/exchange/${name}`, import.meta.url));
/** What PyTorch computed in float64 from the weights in its files (parity/exchange.py). */
const { seed, batch, side, ...expected } = JSON.parse(await readText(fixture('expected.json')));
const narrow = defineResnet({ name: 'narrow', block: 'basic', depths: [1, 1, 1, 1], width: 2 });
registerEncoder(narrow);

const image = (() => {
  const random = rng(seed, 'exchange/picture');
  const data = Float32Array.from({ length: batch * 3 * side ** 2 }, () => random.uniform(-2, 2));
  return { shape: [batch, 3, side, side], dtype: 'float32', data } as const;
})();

function features(params: Params, mlp?: boolean): number[] {
  const model = {
    encoder: narrow,
    encoderConfig: { imageSize: side },
    ...(mlp !== undefined && { head: { mlp, dim: 4 } }),
  };
  return [...interpret(encoderGraph(model, params, batch), { ...params, input: image }).features!.data];
}

async function begun(init: string, mocoDim: number, stem: 'imagenet' | 'cifar' = 'imagenet') {
  const config = resolveConfig(
    {
      ...{ data: 'photos', init: fixture(init), arch: 'narrow', stem, imageSize: side },
      ...{ method: 'moco-v2', mocoDim, mocoK: 16, batchSize: 8, bnSplits: 2 },
    },
    { source: { data: 'photos', split: 'train' } },
  );
  const notes: string[] = [];
  const state = await startingState(config, createMethod(config, 16).state(), (text) => notes.push(text));
  return { state, line: notes.join('\n').replace(fixture(init), init) };
}

function expectClose(actual: readonly number[], wanted: readonly number[]): void {
  expect(actual).toHaveLength(wanted.length);
  // Both sides compute in float64 from the same float32 values.
  actual.forEach((value, i) => {
    expect(value).toBeCloseTo(wanted[i]!, 9);
  });
}

describe('a run from the weights of a PyTorch file', () => {
  it('has its features, with a head that fits, in both encoders', async () => {
    const { state, line } = await begun('v2.pth.tar', 4);
    const wanted = expected['v2.pth.tar'];
    expectClose(features(under('q', state)), wanted.features);
    expectClose(features(under('q', state), true), wanted.queries);
    expectClose(features(under('k', state), true), wanted.queries);
    expect(line).toBe('From v2.pth.tar: 64 tensors of narrow');
    // The queue holds keys of other weights.
    expect(state.queue!.shape).toEqual([4, 16]);
  });

  it('has its features where the head is random, and says so', async () => {
    for (const file of ['v2.pth.tar', 'shared.pth']) {
      const { state, line } = await begun(file, 8);
      expectClose(features(under('q', state)), expected[file].features);
      expect(line).toMatch(
        /^From .*: 60 tensors of narrow; random: 4 \(fc\.0\.weight, fc\.0\.bias, fc\.2\.weight, fc\.2\.bias\); left out: \d \(fc\./,
      );
    }
  });

  it('has a random stem where it is to have another', async () => {
    const { state, line } = await begun('v2.pth.tar', 4, 'cifar');
    expect(line).toBe(
      'From v2.pth.tar: 63 tensors of narrow; random: 1 (conv1.weight); left out: 1 (conv1.weight)',
    );
    expect(state['q.conv1.weight']!.shape).toEqual([2, 3, 3, 3]);
  });

  it("leaves open what it can't know of another program's file, and says so", async () => {
    const { flags, remarks } = await flagsFrom(fixture('v2.pth.tar'), { arch: 'narrow', imageSize: 32 });
    expect(flags).toMatchObject({ arch: 'narrow', mean: [0.485, 0.456, 0.406] });
    expect(remarks.map(String)).toEqual([
      `${fixture('v2.pth.tar')}: not said by the file, so assumed: ImageNet's mean and standard deviation (mean, std)`,
    ]);
    const [mean, std] = [
      [0.5, 0.5, 0.5],
      [0.2, 0.2, 0.2],
    ];
    const told = await flagsFrom(fixture('v2.pth.tar'), { arch: 'narrow', imageSize: 32, mean, std });
    expect([told.flags, told.remarks]).toMatchObject([{ mean, std }, []]);
  });

  it('has the learned positions of a ViT, for as many patches as its images have', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'moco-init-'));
    const learned = defineVit({
      name: 'learned',
      dim: 8,
      depth: 1,
      heads: 2,
      patchSize: 4,
      positions: 'learned',
    });
    registerEncoder(learned);
    const weights = learned.init({ imageSize: 8 }, (name) => rng(1, name));
    const init = join(folder, 'vit.safetensors');
    await writeFile(init, encodeSafetensors(weights));
    const config = resolveConfig(
      { data: 'x', init, arch: 'learned', imageSize: 16, mocoDim: 4, mocoK: 16, batchSize: 8, bnSplits: 2 },
      { source: { data: 'x', split: 'train' } },
    );
    const notes: string[] = [];
    // Read before the run's image size is known.
    const { take } = await flagsFrom(init, { arch: 'learned' });
    const fresh = createMethod(config, 16).state();
    const state = await startingState(config, fresh, (text) => notes.push(text), take());
    expect(take()).toBeUndefined();
    expect(notes.join()).toContain('of learned; positions interpolated for the patches of this image size; ');
    await rm(folder, { recursive: true });
    const given = weights.pos_embed!.data;
    // By axis, Keys' cubic (a = -1/2) at the distances .25 and 1.25 gives a corner .8671875 and -.0703125, of their sum.
    const [near, far] = [0.8671875 / 0.796875, -0.0703125 / 0.796875];
    const corner = near ** 2 * given[8]! + near * far * (given[16]! + given[24]!) + far ** 2 * given[32]!;
    for (const branch of ['q', 'k']) {
      const { shape, data } = state[`${branch}.pos_embed`]!;
      expect(shape).toEqual([1, 17, 8]);
      expect([...data.slice(0, 8)]).toEqual([...given.slice(0, 8)]);
      expect(data[8]).toBeCloseTo(corner, 6);
    }
  });
});
