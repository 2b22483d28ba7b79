/** Against timm's models and functions: the fixture that parity/vit_traits.py makes. */
import { encoderNamed, type Params, type Rng, rng, type Tensor } from '@moco-ts/core';
import { registerEncoders } from '@moco-ts/encoders';
import { describe, expect, it } from 'vitest';
import { inferArch } from './arch.ts';
import { findEncoder } from './encoder.ts';
import { positionsTensor, resampledPositions } from './positions.ts';
import type { Shapes } from './shapes.ts';
import { loadedTensors } from './tensors.ts';
import { fixture } from './testing.ts';

registerEncoders();
interface Model {
  readonly depth: number;
  readonly shapes: Shapes;
}
const expected = JSON.parse(new TextDecoder().decode(fixture('../vit-traits.json'))) as {
  readonly seed: number;
  readonly positions: readonly { prefix: number; from: number; to: number; values: readonly number[] }[];
  readonly read: Readonly<Record<string, Model>>;
  readonly refused: Readonly<Record<string, Model>>;
};

/** The first block's shapes, for all. */
const everyBlock = ({ depth, shapes }: Model): Shapes =>
  Object.fromEntries(
    Object.entries(shapes).flatMap(([key, shape]) =>
      Array.from({ length: key.startsWith('blocks.0.') ? depth : 1 }, (_, i) => [
        key.replace('blocks.0.', `blocks.${i}.`),
        shape,
      ]),
    ),
  );

/** A file of which the values do not matter, but for positions that are not the fixed ones. */
function blank(shapes: Shapes) {
  return {
    name: 'w.pth',
    shapes,
    read: async (names: readonly string[]): Promise<Params> =>
      Object.fromEntries(
        names.map((name) => {
          const shape = shapes[name]!;
          const size = name === 'pos_embed' ? shape.reduce((a, b) => a * b) : 0;
          return [name, { shape, dtype: 'float32', data: new Float32Array(size).fill(0.3) }];
        }),
      ),
  };
}

describe("timm's names and shapes", () => {
  const readable = Object.entries(expected.read).filter(([name]) => !name.includes('quickgelu'));
  it.each(readable)('of %s tell that it is that', (arch, model) => {
    const imageSize = arch.includes('dinov2') ? 518 : 224;
    expect(inferArch(everyBlock(model), true)).toEqual({ arch, imageSize });
  });

  it.each([
    ['vit_small_patch16_dinov3', 'a ViT with rotary positions (RoPE)'],
    ['vit_small_patch16_rope_224', 'a ViT with rotary positions (RoPE)'],
    [
      'eva02_tiny_patch14_224',
      'a ViT with rotary positions (RoPE) and the mean of its tokens as its feature and a gated MLP (SwiGLU)',
    ],
    ['vit_giant_patch14_dinov2', 'a ViT with a gated MLP (SwiGLU)'],
    ['deit_tiny_distilled_patch16_224', 'a ViT with a distillation token'],
    ['vit_base_patch16_siglip_224', 'a ViT with attention pooling and no class token'],
    ['beit_base_patch16_224', 'a ViT with relative positions and the mean of its tokens as its feature'],
    ['vit_tiny_r_s16_p8_224', 'a ViT with a convolutional network before its patches'],
    ['vit_base_patch16_18x2_224', 'a ViT with parallel layers in its blocks'],
  ])('of %s name what no encoder here has', async (name, what) => {
    const file = blank(everyBlock(expected.refused[name]!));
    await expect(findEncoder(file)).rejects.toThrow(`w.pth: ${what}, which no encoder here has`);
  });

  it('of a ViT whose traits are here, but not together, are described', async () => {
    await expect(findEncoder(blank(everyBlock(expected.refused.deit3_small_patch16_224!)))).rejects.toThrow(
      'w.pth: a ViT of width 384 with 12 blocks, positions of patches alone, layer scale, and no encoder here is so; if it is one of yours, name it by arch',
    );
  });

  it('of CLIP do not tell its activation function, which is said; a name tells it', async () => {
    const file = blank(everyBlock(expected.read.vit_base_patch16_clip_224!));
    const open = async (options = {}) => {
      const { arch, notes, pixels } = await findEncoder(file, options);
      return [arch.arch, notes.map(String), pixels.mean?.[0]];
    };
    const mean = "not said by the file, so assumed: CLIP's mean and standard deviation (mean, std)";
    expect(await open()).toEqual([
      'vit_base_patch16_clip_224',
      [
        "GELU is assumed; weights of OpenAI's are for the quick one: arch vit_base_patch16_clip_quickgelu_224",
        mean,
      ],
      0.48145466,
    ]);
    const quick = 'vit_base_patch16_clip_quickgelu_224';
    expect(await open({ arch: quick })).toEqual([quick, [mean], 0.48145466]);
  });
});

describe('positions for another number of patches', () => {
  it.each(expected.positions)("are timm's, $from to $to", ({ prefix, from, to, values }) => {
    const stream = rng(expected.seed, 'vit-traits/positions');
    const tokens = prefix + from ** 2;
    const given: Tensor = {
      shape: [1, tokens, 3],
      dtype: 'float32',
      data: Float32Array.from({ length: 3 * tokens }, () => stream.uniform(-1, 1)),
    };
    const { shape, data } = resampledPositions(given, [1, prefix + to ** 2, 3])!;
    expect(shape).toEqual([1, prefix + to ** 2, 3]);
    // timm computes in float32.
    values.forEach((value, i) => {
      expect(data[i]).toBeCloseTo(value, 5);
    });
  });

  it('are none of another width, or with another number of tokens before the grid', () => {
    const given = positionsTensor(8, 3);
    expect(resampledPositions(given, [1, 17, 4])).toBeUndefined();
    expect(resampledPositions(given, [1, 16, 8])).toBeUndefined();
  });
});

it('positions that are not the fixed ones make another encoder, of another image size where that is asked for', async () => {
  const zeros: Rng = { ...rng(0, 'x'), uniform: () => 0, normal: () => 0 };
  const params = encoderNamed('deit_tiny_patch16_224').init({ imageSize: 32 }, () => zeros);
  const fixed = { ...params, pos_embed: positionsTensor(192, 2) };
  expect((await findEncoder(loadedTensors('w', fixed))).arch).toEqual({ arch: 'vit_tiny', imageSize: 32 });
  const file = loadedTensors('w', params);
  expect((await findEncoder(file)).arch).toEqual({ arch: 'deit_tiny_patch16_224', imageSize: 32 });
  const { query, notes } = await findEncoder(file, { imageSize: 64 });
  expect(query.pos_embed!.shape).toEqual([1, 17, 192]);
  expect(notes[0]).toBe('its positions were interpolated, from 2x2 patches to 4x4');
  await expect(findEncoder(file, { arch: 'vit_tiny' })).rejects.toThrow(/are not the fixed sines/);
  expect((await findEncoder(file, { ignorePositions: true })).arch.arch).toBe('vit_tiny');
});
