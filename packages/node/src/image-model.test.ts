/** Image encoders of other programs as teachers: models that average colours, in the forms that exporters give them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { UserError } from '@moco-ts/core';
import type { Pixels } from '@moco-ts/data';
import { type Dimension, OnnxBuilder } from '@moco-ts/onnx';
import { afterAll, describe, expect, it } from 'vitest';
import { type ImageFlags, openImageModel } from './image-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'moco-node-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Form {
  readonly input?: readonly Dimension[];
  readonly type?: 'float32' | 'uint8';
  /** Outputs by name, from the images as floats [N, 3, S, S]. */
  readonly outputs?: Readonly<Record<string, (onnx: OnnxBuilder, images: string) => string>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly second?: boolean;
}

const colour = (onnx: OnnxBuilder, images: string) =>
  onnx.op('ReduceMean', [images, onnx.ints([2, 3])], { keepdims: 0 });
/** Pixels as tokens, [N, S S, 3]. */
const pixels = (onnx: OnnxBuilder, images: string) =>
  onnx.op('Transpose', [onnx.op('Reshape', [images, onnx.ints([0, 3, -1])])], { perm: [0, 2, 1] });
/** One more in front, of 100 times the first. */
const withClass = (onnx: OnnxBuilder, images: string) => {
  const tokens = pixels(onnx, images);
  const first = onnx.op('Slice', [tokens, onnx.ints([0]), onnx.ints([1]), onnx.ints([1])]);
  return onnx.op('Concat', [onnx.op('Mul', [first, onnx.scalar(100)]), tokens], { axis: 1 });
};
const doubled = (onnx: OnnxBuilder, images: string) => onnx.op('Mul', [colour(onnx, images), onnx.scalar(2)]);

let count = 0;
function made(form: Form, name = `m${count++}/model.onnx`): string {
  const { input = ['n', 3, 'h', 'w'], type = 'float32', outputs = { out: colour }, metadata = {} } = form;
  const onnx = new OnnxBuilder();
  const given = onnx.input('x', { dtype: type, shape: [] }, input);
  const floats = type === 'uint8' ? onnx.op('Cast', [given], { to: 1 }) : given;
  const isLast = input[3] === 3;
  const images = isLast ? onnx.op('Transpose', [floats], { perm: [0, 3, 1, 2] }) : floats;
  if (form.second) onnx.input('input_ids', { dtype: 'float32', shape: [] }, ['n']);
  for (const [output, make] of Object.entries(outputs)) {
    // Free extents: only the rank is stated, by none.
    onnx.output(output, onnx.op('Identity', [make(onnx, images)]), { dtype: 'float32', shape: [] }, [
      ...(make === colour || make === doubled ? ['n', 3] : ['a', 'b', 'c', ...(make === same ? ['d'] : [])]),
    ]);
  }
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, onnx.encode({ opset: 18, name: 'm', metadata }));
  return path;
}
const same = (_: OnnxBuilder, images: string) => images;

/** Three images of 2 x 2: channel c of image i has the values 10 i + c and, twice, one more. */
const area = 4;
const values = Array.from({ length: 3 * 3 * area }, (_, at) => {
  const [image, channel, pixel] = [Math.floor(at / 12), Math.floor(at / area) % 3, at % area];
  return 10 * image + channel + (pixel > 1 ? 1 : 0);
});
const means = [0.5, 1.5, 2.5, 10.5, 11.5, 12.5, 20.5, 21.5, 22.5];
const small: ImageFlags = { teacherSize: 2 };

async function features(form: Form, flags = small, images: Pixels = Float32Array.from(values)) {
  const model = await openImageModel(made(form), flags, 1);
  const result = [...(await model.embed(images))];
  const { close, embed, checksum, ...about } = model;
  await close();
  return { ...about, remarks: about.remarks.map(String), result };
}

describe('the embedding of an image encoder', () => {
  it.each<[string, Form]>([
    ['[N, 3, H, W]', {}],
    ['a fixed size', { input: ['n', 3, 2, 2] }],
    ['transformers.js, whose channels are free', { input: ['n', 'c', 'h', 'w'] }],
    ['[N, H, W, 3]', { input: ['n', 'h', 'w', 3] }],
    ['two images of a call', { input: [2, 3, 2, 2] }],
    ['one image of a call', { input: [1, 'c', 2, 2] }],
    ['tokens, of which none is the class', { outputs: { last_hidden_state: pixels } }],
    ['a map', { outputs: { last_hidden_state: same } }],
    ['a pooled vector beside tokens', { outputs: { last_hidden_state: withClass, pooler_output: colour } }],
    ['an embedding behind another vector', { outputs: { score: doubled, image_embeds: colour } }],
    ['tokens beside logits', { outputs: { logits: doubled, last_hidden_state: pixels } }],
    ['logits alone', { outputs: { logits: colour } }],
  ])('is found in %s', async (_, form) => {
    const { result, dim, size } = await features(form);
    expect([dim, size]).toEqual([3, 2]);
    expect(result).toEqual(means);
  });

  it('is the class token where there is one', async () => {
    const { result, remarks } = await features({ outputs: { last_hidden_state: withClass } });
    expect(result).toEqual([0, 100, 200, 1000, 1100, 1200, 2000, 2100, 2200]);
    expect(remarks[0]).toContain('3 features, the first of 5 tokens, the class\'s ("last_hidden_state")');
  });

  it('is of bytes where the model takes bytes', async () => {
    const form: Form = { type: 'uint8', input: ['n', 'h', 'w', 3] };
    const { result, numbers } = await features(form, small, Uint8Array.from(values));
    expect([numbers, result]).toEqual(['bytes', means]);
  });
});

describe('what the images of an encoder are made of', () => {
  const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
  const half = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const noted = { moco: '1', size: '2', mean: '[0.5,0.5,0.5]', std: '[0.25,0.25,0.25]' };

  it('is ImageNet’s where nothing tells, with a remark', async () => {
    const { numbers, remarks } = await features({});
    expect(numbers).toEqual(imagenet);
    expect(remarks[1]).toMatch(/does not say how its images are normalised.*teacherMean and teacherStd/);
  });
  it('is what moco export notes, or what the user says', async () => {
    expect(await features({ metadata: noted }, {})).toMatchObject({ numbers: half, size: 2 });
    const told = { teacherSize: 4, teacherMean: [0, 0, 0], teacherStd: [1, 1, 1] };
    const four = new Float32Array(3 * 16);
    expect(await features({ metadata: noted }, told, four)).toMatchObject({
      numbers: { mean: [0, 0, 0], std: [1, 1, 1] },
      size: 4,
    });
  });

  const beside = async (config: object, flags: ImageFlags = {}) => {
    const path = made({}, `t${count++}/onnx/model.onnx`);
    writeFileSync(join(dirname(dirname(path)), 'preprocessor_config.json'), JSON.stringify(config));
    const model = await openImageModel(path, flags, 1);
    await model.close();
    return model;
  };
  it.each([
    [{ size: 4, image_mean: half.mean, image_std: half.std }, 4, half],
    [{ size: { shortest_edge: 8 }, crop_size: { height: 6, width: 6 }, do_center_crop: true }, 6, imagenet],
    [{ size: { height: 4, width: 4 }, crop_size: 3, do_center_crop: false }, 4, imagenet],
    [{ size: 4, do_normalize: false }, 4, { mean: [0, 0, 0], std: [1, 1, 1] }],
    // Values in [-1, 1] by another way: v / 127.5 - 1.
    [
      { size: 4, rescale_factor: 1 / 127.5, image_mean: [1, 1, 1], image_std: [1, 1, 1] },
      4,
      { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
    ],
  ])('is what preprocessor_config.json says: %j', async (config, size, numbers) => {
    expect(await beside(config)).toMatchObject({ size, numbers });
  });
  it('a preprocessor_config.json that makes no sense is refused', async () => {
    await expect(beside({ size: 'large' })).rejects.toThrow(/preprocessor_config.json says nothing/);
    await expect(beside({ size: 4, image_mean: 3 })).rejects.toThrow(/preprocessor_config.json says nothing/);
  });

  it.each<[string, Form, ImageFlags, RegExp, Partial<UserError>]>([
    [
      'no size',
      {},
      {},
      /does not say which it was trained on: .*teacherSize 224/,
      { setting: 'teacherSize' },
    ],
    ['another size', { input: ['n', 3, 4, 4] }, small, /images of 4 px, not teacherSize 2/, {}],
    ['text too', { second: true }, small, /takes x, input_ids: export its image encoder alone/, {}],
    ['one channel', { input: ['n', 1, 4, 4] }, {}, /takes \[n, 1, 4, 4\], no images of three channels/, {}],
    ['oblong images', { input: ['n', 3, 4, 2] }, {}, /images of 4 x 2, and views are square/, {}],
  ])('a model of %s is refused in one line', async (_, form, flags, message, about) => {
    const error = await openImageModel(made(form), flags, 1).catch((error: unknown) => error);
    expect(error).toMatchObject({ message: expect.stringMatching(message), ...about });
  });
});
