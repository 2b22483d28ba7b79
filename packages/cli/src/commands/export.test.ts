import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prefixed, rng } from '@moco-ts/core';
import { createPool, loadEval, openDataset } from '@moco-ts/data';
import { encodeCheckpoint, initialParams } from '@moco-ts/run';
import { beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint, readCheckpoint } from '../../../node/src/checkpoint.ts';
import { openModel } from '../../../node/src/onnx-session.ts';
import { moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const root = temporaryFolder();
const images = join(root, 'images');
const run = join(root, 'run');
const vit = join(root, 'vit');
const SIZE = 16;

beforeAll(async () => {
  for (const [at, name] of ['a', 'b'].entries()) writeImages(join(images, name), 12, 12 * at);
  const flags = ['--epochs', '2', '--hold-out', '0.25'];
  expect(await moco('pretrain', images, ...tiny, ...flags, '--out', run)).toMatchObject({ code: 0 });
  const small = ['-a', 'vit_tiny', '--patch-size', '8', '--max-steps', '2', '--bn', 'plain'];
  expect(await moco('pretrain', images, ...tiny, ...flags, ...small, '--out', vit)).toMatchObject({
    code: 0,
  });
});

/** The features that a model gives for three images of noise. */
async function features(path: string, count = 3): Promise<Float32Array> {
  const random = rng(0, 'test/export');
  const data = Float32Array.from({ length: 3 * 3 * SIZE * SIZE }, random.normal).subarray(
    0,
    count * 3 * SIZE * SIZE,
  );
  const model = await openModel(readFileSync(path));
  const { first } = await model.run('float32', data, [count, 3, SIZE, SIZE]);
  await model.close();
  return first;
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

describe('moco export --precision', () => {
  it.each([
    ['a ResNet', 'fp16', [], () => run, 0.51, 0.9999],
    ['a ResNet', 'int8', [], () => run, 0.27, 0.99],
    ['a ResNet', 'int8', ['--calibrate', images], () => run, 0.27, 0.98],
    ['a ViT', 'fp16', [], () => vit, 0.51, 0.9999],
    ['a ViT', 'int8', [], () => vit, 0.3, 0.99],
    ['a ViT', 'int8', ['--calibrate', images], () => vit, 0.3, 0.98],
  ] as const)(
    '%s in %s keeps the features in fewer bytes',
    async (_, precision, more, source, share, least) => {
      const [full, reduced] = [join(root, 'whole.onnx'), join(root, 'reduced.onnx')];
      expect(await moco('export', source(), '-o', full, '--no-card')).toMatchObject({ code: 0 });
      const result = await moco('export', source(), '-o', reduced, '--precision', precision, ...more);
      expect(result).toMatchObject({ code: 0, err: '' });
      expect(statSync(reduced).size / statSync(full).size).toBeLessThan(share);
      const [expected, actual] = [await features(full), await features(reduced)];
      expect(cosine(actual, expected)).toBeGreaterThan(least);
      // It is another computation, and its batch is free.
      expect([...actual]).not.toEqual([...expected]);
      const first = actual.subarray(0, actual.length / 3);
      expect(cosine(await features(reduced, 1), first)).toBeGreaterThan(0.999);
    },
  );

  it.each([
    ['int8', ['--calibrate', images]],
    ['int8', []],
    ['fp16', ['--calibrate', images]],
  ])('%s %o with preprocessing gives the features of prepared images', async (precision, more) => {
    const flags = ['--precision', precision, ...more, '--no-card'];
    const [plain, raw] = [join(root, 'plain.onnx'), join(root, 'raw.onnx')];
    expect(await moco('export', run, '-o', plain, ...flags)).toMatchObject({ code: 0, err: '' });
    expect(await moco('export', run, '-o', raw, ...flags, '--with-preprocess')).toMatchObject({
      code: 0,
      err: '',
    });
    // An image of the encoder's own size is only normalised.
    const bytes = Uint8Array.from({ length: 3 * SIZE * SIZE }, (_, i) => (i * 37) % 256);
    const [mean, std] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ];
    const area = SIZE * SIZE;
    const normal = Float32Array.from({ length: 3 * area }, (_, i) => {
      const channel = Math.floor(i / area);
      return (bytes[(i % area) * 3 + channel]! / 255 - mean[channel]!) / std[channel]!;
    });
    const models = [await openModel(readFileSync(plain)), await openModel(readFileSync(raw))] as const;
    const expected = await models[0].run('float32', normal, [1, 3, SIZE, SIZE]);
    const actual = await models[1].run('uint8', bytes, [1, SIZE, SIZE, 3]);
    for (const model of models) await model.close();
    expect(cosine(actual.first, expected.first)).toBeGreaterThan(0.9999);
  });

  it('what float16 can not hold is refused, and what comes near is warned of', async () => {
    const { config } = (await readCheckpoint(join(run, 'checkpoint-0001.safetensors'))).info;
    const scaled = (factor: number) => {
      const params = initialParams(config);
      // Weights that float16 holds, and values that grow with each of them.
      for (const name of ['bn1.weight', 'layer1.0.bn1.weight']) params[name]!.data.fill(factor);
      const path = join(root, 'large.safetensors');
      const info = { epoch: 1, step: 0, globalStep: 1, config, images: 4, losses: [], moco: '0' };
      writeFileSync(path, encodeCheckpoint(info, prefixed('q', params)));
      return path;
    };
    const file = join(root, 'large.onnx');
    const flags = ['--precision', 'fp16', '--calibrate', images];
    const refused = await moco('export', scaled(2000), '-o', file, ...flags);
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(
        /^moco: fp16 holds values up to 65504, and this network's reach \d\.\de\+6: not written; .*\n$/,
      ),
    ]);
    expect(existsSync(file)).toBe(false);
    expect(await moco('export', scaled(2000), '-o', file)).toMatchObject({ code: 0 });
    const near = await moco('export', scaled(100), '-o', file, ...flags);
    expect([near.code, near.err]).toEqual([
      0,
      expect.stringMatching(/its values reach \d{5} of the 65504 that fp16 holds/),
    ]);
  });

  it.each([
    ['a ResNet', 'fp32', [], () => run, [1, 256], 0.999999],
    ['a ViT', 'fp32', [], () => vit, [4, 192], 0.999999],
    ['a ViT', 'fp16', [], () => vit, [4, 192], 0.9999],
    ['a ViT', 'int8', ['--calibrate', images], () => vit, [4, 192], 0.97],
  ] as const)(
    'gives the tokens of %s in %s beside the features, with --tokens',
    async (_, precision, more, source, [count, dim], least) => {
      const [both, alone, raw] = ['both.onnx', 'alone.onnx', 'tokens.npy'].map((name) => join(root, name));
      const flags = ['--precision', precision, ...more];
      const { code, out } = await moco('export', source(), '-o', both!, '--tokens', ...flags);
      expect([code, out]).toEqual([
        0,
        expect.stringContaining(`${dim} features and ${count} tokens of ${dim}, `),
      ]);
      await moco('export', source(), '-o', alone!, '--no-card');
      await moco('embed', source(), images, '--out', raw!, '--tokens', '--raw');
      const model = await openModel(readFileSync(both!));
      expect(model.outputs).toEqual(['features', 'tokens']);
      // An image of the model's own size, as `moco embed` reads it.
      const { config } = (await openCheckpoint(source(), () => undefined)).info;
      const dataset = await openDataset(images);
      const { mean, std } = config;
      for await (const { data } of loadEval(dataset, {
        size: SIZE,
        mean,
        std,
        pool: createPool(0),
        batch: 3,
      })) {
        const { first, type, dims } = await model.run('float32', data, [3, 3, SIZE, SIZE], 'tokens');
        expect([type, dims]).toEqual(['float32', [3, count, dim]]);
        const expected = new Float32Array(new Uint8Array(readFileSync(raw!).subarray(128)).buffer);
        expect(cosine(first, expected.subarray(0, first.length))).toBeGreaterThan(least);
        break;
      }
      await model.close();
      const full = await features(alone!);
      expect(cosine(await features(both!), full)).toBeGreaterThan(least);
      const card = readFileSync(both!.replace('.onnx', '.md'), 'utf8');
      expect(card).toContain(`| output | \`tokens\`: float32 [N, ${count}, ${dim}], features of the places`);
      expect(card).toContain('(features, tokens) = session.run(');
    },
  );

  it('prints what a label tells before and after', async () => {
    const path = join(root, 'measured.onnx');
    const { code, out } = await moco('export', run, '-o', path, '--precision', 'int8', '--measure');
    expect(code).toBe(0);
    const knn = await moco('knn', run);
    const before = /kNN accuracy +([\d.]+) %/.exec(knn.out)![1];
    expect(out).toMatch(new RegExp(`kNN accuracy +${before} -> [\\d.]+ % \\([+-][\\d.]+\\)`));
    expect(readFileSync(join(root, 'measured.md'), 'utf8')).toContain(`| trained | ${before} % |`);
  });

  it.each([
    [['--calibrate', images], /--calibrate is for --precision int8 and fp16/],
    [['--precision', 'int4'], /fp32, fp16, int8/],
    [['--transformers-js', '--tokens'], /--transformers-js and --tokens exclude each other/],
    [['--opset', '99'], /whole number from 18 to 23/],
  ])('%s is refused in one line', async (flags, message) => {
    const { code, err } = await moco('export', run, '-o', join(root, 'x.onnx'), ...flags);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });
});

describe('the model card', () => {
  it('tells data, recipe, input and output', async () => {
    const path = join(root, 'card.onnx');
    await moco('export', run, '-o', path, '--with-preprocess');
    const card = readFileSync(join(root, 'card.md'), 'utf8');
    const { dataset } = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
    expect(card).toMatch(/^---\nlibrary_name: onnx\npipeline_tag: image-feature-extraction\n/);
    for (const part of [
      `${dataset.images} images of`,
      '`images`: uint8',
      '`features`: float32 [N, 256]',
      '| mocoK | 16 |',
      "create('card.onnx')",
    ])
      expect(card).toContain(part);
  });

  it("leaves a user's page alone", async () => {
    const page = join(root, 'mine.md');
    writeFileSync(page, '# Mine\n');
    const { code, err } = await moco('export', run, '-o', join(root, 'mine.onnx'));
    expect([code, err]).toEqual([0, expect.stringContaining('the model card was not written')]);
    expect(readFileSync(page, 'utf8')).toBe('# Mine\n');
    expect(existsSync(join(root, 'mine.onnx'))).toBe(true);
  });
});

it('a folder for transformers.js has its names, files and settings', async () => {
  const folder = join(root, 'web');
  for (const precision of ['fp32', 'int8'])
    expect(
      await moco('export', run, '-o', folder, '--transformers-js', '--precision', precision),
    ).toMatchObject({ code: 0 });
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
  expect(read('config.json')).toMatchObject({ model_type: 'resnet', hidden_size: 256 });
  expect(read('preprocessor_config.json')).toMatchObject({
    size: { shortest_edge: SIZE },
    image_mean: [0.485, 0.456, 0.406],
  });
  expect(existsSync(join(folder, 'onnx/model_quantized.onnx'))).toBe(true);
  const model = await openModel(readFileSync(join(folder, 'onnx/model.onnx')));
  await model.close();
  expect(await moco('export', run, '-o', folder, '--transformers-js', '--with-preprocess')).toMatchObject({
    code: 1,
  });
});
