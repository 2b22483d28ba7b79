import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  decodeSafetensors,
  encoderNamed,
  encodeSafetensors,
  initHead,
  type Params,
  prefixed,
  rng,
  type Tensor,
  under,
} from '@moco-ts/core';
import { registerEncoders, traitsNamed } from '@moco-ts/encoders';
import {
  bytesSource,
  encodeTorch,
  positionsTensor,
  readTorch,
  StateDict,
  torchTensors,
} from '@moco-ts/exchange';
import {
  checksum,
  encodeCheckpoint,
  encoderOf,
  initialParams,
  type RunConfig,
  type RunFlags,
  resolveConfig,
} from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../../../node/src/checkpoint.ts';
import { meanCosine } from '../../../node/src/export-model.ts';
import { imageFolder, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';
import { readNpy } from '../vectors/npy-file.ts';

registerEncoders();
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const random = (name: string) => rng(1, name);
const pytorch = (name: string) =>
  fileURLToPath(new URL(`../../../../parity/fixtures/exchange/${name}`, import.meta.url));

/** resnet-tiny with MoCo v2's head, as an official checkpoint has it. */
function encoder(seed: number): Params {
  const params = encoderNamed('resnet-tiny').init({ imageSize: 32 }, (name) => rng(seed, name));
  initHead(params, 256, { mlp: true, dim: 8 }, random);
  return params;
}
const [query, key] = [encoder(1), encoder(2)];
const queue: Tensor = { shape: [8, 24], dtype: 'float32', data: new Float32Array(192).fill(0.5) };
const official = at('official.pth.tar');
writeFileSync(
  official,
  await encodeTorch({
    epoch: 200,
    arch: 'resnet-tiny',
    state_dict: {
      ...prefixed('module.encoder_q', query),
      ...prefixed('module.encoder_k', key),
      'module.queue': queue,
      'module.queue_ptr': { shape: [1], dtype: 'int32', data: Int32Array.of(8) },
      'module.neck.weight': queue,
    },
  }),
);

function same(actual: Params, wanted: Params): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(wanted).sort());
  for (const [name, { shape, data }] of Object.entries(wanted)) {
    expect(actual[name]!.shape, name).toEqual(shape);
    expect(Buffer.compare(Buffer.from(actual[name]!.data.buffer), Buffer.from(data.buffer)), name).toBe(0);
  }
}
const backbone = (params: Params) =>
  Object.fromEntries(Object.entries(params).filter(([name]) => !name.startsWith('fc.')));
async function torchFile(path: string) {
  const file = torchTensors(await readTorch(bytesSource(path, new Uint8Array(readFileSync(path)))));
  return file.read(Object.keys(file.shapes));
}
const safetensorsFile = (path: string) => decodeSafetensors(readFileSync(path), path).tensors;

describe('moco import', () => {
  it('makes a checkpoint that knn and export take, head included', async () => {
    const path = at('imported.safetensors');
    const { code, out, err } = await moco('import', official, '-o', path, '--image-size', '16');
    expect(code).toBe(0);
    expect(out).toBe(`${path}: resnet-tiny, 16 px, mlp head of 8; of MoCo v1 or v2 (encoder_q)\n`);
    expect(err).toBe(
      "moco: note: not said by the file, so assumed: a stem of stride 2, ImageNet's mean and standard deviation (moco import --mean, --std)\n" +
        'moco: note: 1 tensor was left out: module.neck.weight\n',
    );
    const { info, tensors } = await readCheckpoint(path);
    expect(info).toMatchObject({ epoch: 200, step: 0 });
    expect(info.config).toMatchObject({
      method: 'moco-v2',
      arch: 'resnet-tiny',
      imageSize: 16,
      mlp: true,
      mocoDim: 8,
    });
    same(tensors, prefixed('q', query));

    const measured = await moco('knn', path, imageFolder(12), '-j', '0', '--threads', '1');
    expect(measured).toMatchObject({ code: 0, out: expect.stringContaining('edited copies') });
    const exported = await moco('export', path, '-o', at('model.onnx'), '--with-head');
    expect(exported).toMatchObject({ code: 0, out: expect.stringContaining('8 features') });
  });

  it('makes encoders of ViTs with learned positions, which embed, export and convert take', async () => {
    const arch = 'deit_tiny_patch16_224';
    const weights = encoderNamed(arch).init({ imageSize: 32 }, random);
    writeFileSync(at('deit.pth'), await encodeTorch({ model: weights }));
    const [path, back, images] = [at('deit.safetensors'), at('back.pth'), imageFolder(4)];
    const { code, out } = await moco('import', at('deit.pth'), '-o', path);
    expect([code, out]).toEqual([0, `${path}: ${arch}, 32 px, no contrastive head; of one network\n`]);
    const flags = ['-j', '0', '--threads', '1'];
    expect((await moco('embed', path, images, '--out', at('deit.npy'), ...flags)).code).toBe(0);
    expect(await readNpy(at('deit.npy'))).toHaveLength(4 * 192);
    expect((await moco('export', path, '-o', at('deit.onnx'))).code).toBe(0);
    expect((await moco('convert', path, '-o', back)).code).toBe(0);
    same(await torchFile(back), weights);
  });

  it('is not needed for a look: knn, export and lincls take the file itself', async () => {
    const images = imageFolder(12);
    const measured = await moco('knn', official, images, '-j', '0', '--threads', '1');
    expect(measured).toMatchObject({ code: 0, out: expect.stringContaining('edited copies') });
    expect(measured.err).toBe(
      "moco: warning: not said by the file, so assumed: 32 px, a stem of stride 2, ImageNet's mean and standard deviation (moco import --image-size, --mean, --std)\n" +
        'moco: warning: 1 tensor was left out: module.neck.weight\n',
    );
    const exported = await moco('export', official, '-o', at('direct.onnx'));
    expect(exported).toMatchObject({ code: 0, out: expect.stringContaining('256 features') });
    const labelled = temporaryFolder();
    for (const part of ['train/a', 'train/b', 'test/a', 'test/b']) writeImages(join(labelled, part), 4);
    const flags = ['-b', '4', '-j', '0', '--threads', '1', '--epochs', '1', '--out', at('probe')];
    const probed = await moco('lincls', official, labelled, ...flags);
    expect(probed).toMatchObject({ code: 0, out: expect.stringContaining('Acc@1') });
    writeFileSync(at('headless.pth'), await encodeTorch(backbone(query)));
    const refused = await moco('export', at('headless.pth'), '-o', at('never.onnx'), '--with-head');
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/has no contrastive head/)]);
  });

  it('takes keys and queue where they are wanted', async () => {
    const path = at('whole.safetensors');
    expect((await moco('import', official, '-o', path, '--with-key')).code).toBe(0);
    const { info, tensors } = await readCheckpoint(path);
    expect(info.config).toMatchObject({ mocoK: 24, imageSize: 32 });
    same(under('k', tensors), key);
    expect([...tensors.queue_ptr!.data]).toEqual([8]);
    same({ queue: tensors.queue! }, { queue });
  });

  it.each([
    [
      'code',
      [pytorch('hostile.pth')],
      /refuses posix\.system at byte \d+ .*: only tensors and plain containers/,
    ],
    ['code in the old format', [pytorch('hostile-legacy.pth')], /refuses posix\.system at byte \d+: only/],
    ['an unknown network', [pytorch('v2.pth.tar')], /are of no encoder that is known here; .*--arch/],
    [
      'another network',
      [official, '-a', 'resnet18'],
      /"conv1\.weight" is \[32, 3, 3, 3\], that of resnet18 \[64/,
    ],
    ['a file that is not there', [at('no.pth')], /no\.pth: no such file or run folder/],
    [
      'something else',
      [fileURLToPath(import.meta.url)],
      /is neither a file of torch\.save nor a safetensors file/,
    ],
    ['an odd name', [official, '-o', at('x.pth')], /should end in \.safetensors/],
  ])('refuses %s in one line', async (_, args, message) => {
    const output = at('never.safetensors');
    const { code, err } = await moco('import', '-o', output, ...args);
    expect([code, err.trim().split('\n').length]).toEqual([1, 1]);
    expect(err).toMatch(message);
    expect(existsSync(output)).toBe(false);
  });

  it('refuses weights that are not finite, and its own checkpoints', async () => {
    const broken = {
      ...query,
      'bn1.bias': { ...query['bn1.bias']!, data: new Float32Array(32).fill(Number.NaN) },
    };
    writeFileSync(at('nan.safetensors'), encodeSafetensors(broken));
    const refused = await moco('import', at('nan.safetensors'), '-o', at('never.safetensors'));
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(/"q\.bn1\.bias" holds values that are not finite/),
    ]);
    const variance = Float32Array.from({ length: 32 }, (_, i) => (i === 7 ? -1e-3 : 1));
    const negative = { ...query, 'bn1.running_var': { ...query['bn1.running_var']!, data: variance } };
    writeFileSync(at('negative.safetensors'), encodeSafetensors(negative));
    for (const args of [
      ['import', at('negative.safetensors'), '-o', at('never.safetensors')],
      ['knn', at('negative.safetensors'), imageFolder(4)],
    ]) {
      const { code, err } = await moco(...args);
      expect([code, err]).toEqual([
        1,
        expect.stringMatching(/"q\.bn1\.running_var" holds a negative variance/),
      ]);
    }
    await moco('import', official, '-o', at('imported.safetensors'));
    const own = await moco('import', at('imported.safetensors'), '-o', at('never.safetensors'));
    expect([own.code, own.err]).toEqual([1, expect.stringMatching(/is a checkpoint of moco already/)]);
  });
});

describe('a round trip', () => {
  const images = imageFolder(4);
  /** A run's checkpoint with random weights and statistics, which show a wrong stem, size or normalisation. */
  function checkpoint(name: string, flags: RunFlags): { path: string; config: RunConfig } {
    const config = resolveConfig(
      { data: 'photos', ...flags },
      { source: { data: 'photos', split: 'train' } },
    );
    const params = initialParams(config);
    for (const [name, { data }] of Object.entries(params))
      if (/running_(mean|var)$/.test(name)) {
        const values = random(name);
        data.set(Float32Array.from(data, () => values.uniform(0.1, 0.3)));
      }
    const info = { epoch: 7, step: 0, globalStep: 9, config, images: 4, losses: [], moco: '0' };
    writeFileSync(at(name), encodeCheckpoint(info, prefixed('q', params)));
    return { path: at(name), config };
  }
  async function features(model: string): Promise<Float32Array> {
    const out = at('features.npy');
    const done = await moco(
      'embed',
      model,
      images,
      '--out',
      out,
      '--raw',
      '--restart',
      '-j',
      '0',
      '--threads',
      '1',
    );
    expect([done.code, done.err]).toEqual([0, '']);
    return readNpy(out);
  }

  const runs = {
    'resnet18 at 64 px': { arch: 'resnet18', imageSize: 64 },
    'resnet18 at 96 px': { arch: 'resnet18', imageSize: 96, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] },
    'resnet-micro at 64 px': { arch: 'resnet-micro', imageSize: 64, method: 'moco-v2', mocoDim: 32 },
    'resnet-micro at 96 px': { arch: 'resnet-micro', imageSize: 96 },
    'resnet-micro, stride 1': { arch: 'resnet-micro', imageSize: 32, stem: 'cifar', method: 'simclr' },
    'a ViT': { arch: 'vit_tiny', imageSize: 32, patchSize: 8, method: 'moco-v3', mocoMlpDim: 16 },
  } as const satisfies Record<string, RunFlags>;
  const files = {
    '.pth': ['back.pth', '--with-head'],
    '.safetensors': ['back.safetensors', '--with-head'],
    'the official names': ['back.pth.tar', '--names', 'moco', '--with-head'],
  } as const;
  /** Of the larger encoders one file each is enough: they only take longer. */
  const every = (Object.keys(runs) as (keyof typeof runs)[]).flatMap((run, i) =>
    (Object.keys(files) as (keyof typeof files)[])
      .filter((_, way) => run.startsWith('resnet-micro') || way === i % 3)
      .map((file) => [run, file] as const),
  );

  it.each(every)('gives the same encoder: %s by %s', async (run, way) => {
    const { path, config } = checkpoint('own.safetensors', runs[run]);
    const [file, ...flags] = files[way];
    expect((await moco('convert', path, '-o', at(file), ...flags)).code).toBe(0);
    const again = at('again.safetensors');
    const { code, err } = await moco('import', at(file), '-o', again);
    expect([code, err]).toEqual([
      0,
      traitsNamed(config.arch).family === 'vit' ? 'moco: note: its positions are the fixed ones\n' : '',
    ]);
    const { info, tensors } = await readCheckpoint(again);
    for (const key of kept) expect([key, info.config[key]]).toEqual([key, config[key]]);
    expect(encoderOf(info.config).encoderConfig).toEqual({
      ...encoderOf(config).encoderConfig,
      // Said aloud where the encoder has it by default.
      ...(config.arch === 'resnet18' && { stem: info.config.stem }),
    });
    expect(info.epoch).toBe(7);
    expect(checksum(tensors)).toBe(checksum((await readCheckpoint(path)).tensors));
    // Of the larger ones the same settings and weights are enough: they only compute longer.
    if (config.arch !== 'resnet-micro') return;
    const [actual, wanted] = [await features(again), await features(path)];
    expect(meanCosine(actual, wanted, wanted.length / 4)).toBeCloseTo(1, 12);
  });
  const kept = [
    'method',
    'arch',
    'imageSize',
    'patchSize',
    'mean',
    'std',
    'mlp',
    'mocoDim',
    'mocoMlpDim',
  ] as const;

  it('keeps what it knows of a run where a flag says otherwise', async () => {
    const { path } = checkpoint('own.safetensors', { arch: 'resnet-micro', imageSize: 96, stem: 'imagenet' });
    await moco('convert', path, '-o', at('small.pth'));
    expect(
      (await moco('import', at('small.pth'), '-o', at('small.safetensors'), '--image-size', '64')).code,
    ).toBe(0);
    expect((await readCheckpoint(at('small.safetensors'))).info.config).toMatchObject({
      imageSize: 64,
      stem: 'imagenet',
    });
  });

  it.each([
    ['no JSON', '{', /it is no JSON/],
    [
      'wild values',
      JSON.stringify({ ...about(), imageSize: 1e9 }),
      /imageSize is 1000000000\. Give a whole number/,
    ],
    ['too little', JSON.stringify({ ...about(), arch: undefined }), /arch is missing/],
    [
      'a method of a plugin',
      JSON.stringify({ ...about(), method: 'elsewhere' }),
      /its method "elsewhere" came with a plugin, which only you can name, if you trust it: --plugin PACKAGE_OR_FILE/,
    ],
  ])('refuses %s in what the file says of its encoder', async (_, text, message) => {
    writeFileSync(at('odd.pth'), await encodeTorch(new StateDict(backbone(query), text)));
    const { code, err } = await moco('import', at('odd.pth'), '-o', at('never.safetensors'));
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  function about(): object {
    const { method, arch, imageSize, mean, std, mlp, mocoDim, mocoMlpDim } = resolveConfig(
      { data: 'x', arch: 'resnet-tiny', imageSize: 32 },
      { source: { data: 'x', split: 'train' } },
    );
    return { method, arch, imageSize, mean, std, mlp, mocoDim, mocoMlpDim };
  }
});

describe('moco convert', () => {
  it('gives the weights back by their plain names, from foreign files and runs', async () => {
    await moco('import', official, '-o', at('imported.safetensors'));
    for (const input of [official, at('imported.safetensors')]) {
      expect((await moco('convert', input, '-o', at('plain.pth'))).code).toBe(0);
      same(await torchFile(at('plain.pth')), backbone(query));
      expect((await moco('convert', input, '-o', at('plain.safetensors'), '--with-head')).code).toBe(0);
      same(safetensorsFile(at('plain.safetensors')), query);
    }
    const run = at('run');
    expect((await moco('pretrain', imageFolder(8), ...tiny, '--max-steps', '1', '--out', run)).code).toBe(0);
    const { code, out } = await moco('convert', run, '-o', at('run.pth'));
    expect([code, out]).toEqual([0, expect.stringMatching(/run\.pth: resnet-tiny, 60 tensors, 4\.\d MB/)]);
  });

  it("writes the official programs' names, which it reads again", async () => {
    const path = at('again.pth.tar');
    expect((await moco('convert', official, '-o', path, '--names', 'moco', '--with-head')).code).toBe(0);
    same(await torchFile(path), prefixed('module.encoder_q', query));
    expect((await moco('import', path, '-o', at('again.safetensors'))).code).toBe(0);
    same((await readCheckpoint(at('again.safetensors'))).tensors, prefixed('q', query));
  });

  it('writes the fixed positions of a ViT, which it knows again', async () => {
    const vit = encoderNamed('vit_tiny').init({ imageSize: 64 }, random);
    const pos_embed = positionsTensor(192, 4);
    writeFileSync(at('vit.pth'), await encodeTorch({ model: { ...vit, pos_embed } }));
    const { code, out, err } = await moco('convert', at('vit.pth'), '-o', at('vit.safetensors'));
    expect([code, out]).toEqual([0, expect.stringContaining('vit_tiny')]);
    expect(err).toBe(
      'moco: note: its positions are the fixed ones\n' +
        "moco: note: not said by the file, so assumed: ImageNet's mean and standard deviation (moco import --mean, --std)\n",
    );
    same(safetensorsFile(at('vit.safetensors')), { ...vit, pos_embed });
    expect((await moco('import', at('vit.safetensors'), '-o', at('vit-run.safetensors'))).code).toBe(0);
    expect((await readCheckpoint(at('vit-run.safetensors'))).info.config).toMatchObject({
      arch: 'vit_tiny',
      imageSize: 64,
    });
  });

  it.each([
    ['an odd name', [official, '-o', at('x.onnx')], /should end in \.safetensors, or for PyTorch in \.pth/],
    [
      'a head that is not there',
      [at('headless.pth'), '-o', at('x.pth'), '--with-head'],
      /has no contrastive head/,
    ],
  ])('refuses %s', async (_, args, message) => {
    writeFileSync(at('headless.pth'), await encodeTorch(backbone(query)));
    const { code, err } = await moco('convert', ...args);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });
});
