import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type BackendPlugin, createExtractor, type Encoder, under } from '@moco-ts/core';
import { encodePng } from '@moco-ts/data';
import { modelConfig } from '@moco-ts/run';
import { beforeAll, describe, expect, it } from 'vitest';
import { imageFolder, moco, png, temporaryFolder } from '../../cli/src/testing.ts';
import { openCheckpoint } from '../../node/src/checkpoint.ts';
import { openBackend } from '../../node/src/open-backend.ts';
import { decodeBytes, type LoadedEncoder, loadEncoder, pretrain, type RgbImage, UserError } from './index.ts';
import { tiny } from './testing.ts';

const example = async (path: string) =>
  (await import(
    pathToFileURL(fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url))).href
  )) as Record<string, unknown>;

const images = imageFolder(12);
let folder: string;
let checkpoint: string;
let encoder: LoadedEncoder;
beforeAll(async () => {
  folder = join(temporaryFolder(), 'run');
  checkpoint = (await pretrain({ ...tiny, data: images, out: folder, epochs: 1 }).result).checkpoint;
  encoder = await loadEncoder(checkpoint);
});

/** Images of the encoder's own size need no resizing: what it should see can be written down. */
async function oracle(image: RgbImage): Promise<Float32Array> {
  const { info, tensors } = await openCheckpoint(checkpoint, () => undefined);
  const { mean, std } = info.config;
  const planes = Float32Array.from({ length: 3 * 256 }, (_, i) => {
    const channel = Math.floor(i / 256);
    return (image.data[3 * (i % 256) + channel]! / 255 - mean[channel]!) / std[channel]!;
  });
  const backend = await openBackend('reference');
  const { extract } = await createExtractor(backend, modelConfig(info.config), under('q', tensors), 1);
  return extract(planes);
}

const largest = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

describe('embed', () => {
  it('gives the features of the float64 oracle', async () => {
    const image = await decodeBytes(png(3));
    expect([image.width, image.height]).toEqual([16, 16]);
    const [row] = await encoder.embed([image]);
    const expected = await oracle(image);
    expect(row).toHaveLength(encoder.featureDim);
    expect(Math.max(...expected)).toBeGreaterThan(0.1);
    // float32 against float64, through nine layers.
    expect(largest(row!, expected)).toBeLessThan(1e-4 * Math.max(...expected.map(Math.abs)));
  });

  it('takes paths, bytes and pixels alike, in order, few or many', async () => {
    const path = join(temporaryFolder(), 'p.png');
    writeFileSync(path, png(3, 5));
    const bytes = readFileSync(path);
    const [a, b, c] = await encoder.embed([path, bytes, await decodeBytes(bytes)]);
    expect([b, c]).toEqual([a, a]);
    const many = await encoder.embed(Array.from({ length: 40 }, (_, i) => (i === 33 ? path : png(i, 4))));
    expect(many).toHaveLength(40);
    expect(largest(many[33]!, a!)).toBeLessThan(1e-5 * Math.max(...a!));
    expect(largest(many[32]!, a!)).toBeGreaterThan(1e-3);
    expect(await encoder.embed([])).toEqual([]);
  });

  it('may be called again before it is done', async () => {
    const files = Array.from({ length: 6 }, (_, i) => png(i));
    const together = await Promise.all(files.map((file) => encoder.embed([file])));
    for (const [i, file] of files.entries()) expect(together[i]).toEqual(await encoder.embed([file]));
  });

  it('holds few photos at a time', async () => {
    const photo = await encodePng({ width: 4000, height: 3000, data: new Uint8Array(3 * 12e6) });
    const before = process.resourceUsage().maxRSS;
    expect(await encoder.embed(Array.from({ length: 32 }, () => photo))).toHaveLength(32);
    // As bytes all are 1,100 MiB, four of them 137.
    expect((process.resourceUsage().maxRSS - before) / 1024).toBeLessThan(700);
  });

  it('says what is wrong with an image, and goes on', async () => {
    const wrong: [unknown, string][] = [
      ['./nowhere.png', './nowhere.png: not a readable image'],
      [new Uint8Array(8), 'image 0: not a readable image'],
      [{ width: 2, height: 2, data: new Uint8Array(4) }, 'image 0 gave 4 bytes for 2 x 2 pixels; RGB has 12'],
      [7, 'image 0 is no path, bytes or { width, height, data }'],
    ];
    for (const [image, message] of wrong) {
      const error: unknown = await encoder.embed([image as string]).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toContain(message);
    }
    expect(await encoder.embed([png(1)])).toHaveLength(1);
  });
});

describe('loadEncoder', () => {
  it('opens runs, checkpoints, their bytes, and what moco convert writes', async () => {
    const torch = join(temporaryFolder(), 'r.pth');
    expect(await moco('convert', folder, '-o', torch)).toMatchObject({ code: 0 });
    const [expected] = await encoder.embed([png(5)]);
    for (const source of [folder, readFileSync(checkpoint), readFileSync(checkpoint).buffer]) {
      await using other = await loadEncoder(source);
      expect(await other.embed([png(5)])).toEqual([expected]);
    }
    // The file has no record of the run: ImageNet's 224 pixels are assumed.
    await using converted = await loadEncoder(readFileSync(torch), { onWarning: () => undefined });
    expect(converted.featureDim).toBe(encoder.featureDim);
  });

  it('gives unit vectors with the head', async () => {
    await using head = await loadEncoder(checkpoint, { withHead: true });
    expect(head.featureDim).toBe(8);
    const [row] = await head.embed([png(2)]);
    expect(Math.hypot(...row!)).toBeCloseTo(1, 5);
  });

  it('takes an encoder and a backend of its own', async () => {
    const { mixer } = (await example('encoder-mixer/index.js')) as { mixer: Encoder };
    const { workerBackend } = (await example('backend-worker/index.js')) as { workerBackend: BackendPlugin };
    const out = join(temporaryFolder(), 'mixed');
    const own = { arch: mixer, backend: workerBackend, imageSize: 8, maxSteps: 1 };
    const { config } = await pretrain({ ...tiny, data: images, ...own, out }).result;
    expect(config).toMatchObject({ arch: 'mixer', backend: 'worker' });
    await using slow = await loadEncoder(out, { arch: mixer, backend: workerBackend });
    await using quick = await loadEncoder(out, { arch: mixer });
    const [[a], [b]] = [await slow.embed([png(2)]), await quick.embed([png(2)])];
    expect(a).toHaveLength(64);
    expect(largest(a!, b!)).toBeLessThan(1e-4 * Math.max(...b!.map(Math.abs)));
  });

  it('says what is wrong in one line', async () => {
    const wrong: [() => Promise<unknown>, string][] = [
      [() => loadEncoder('./nowhere'), './nowhere: no such file or run folder'],
      [
        () => loadEncoder(new Uint8Array(64)),
        'the encoder is neither a file of torch.save nor a safetensors',
      ],
      [() => loadEncoder(readFileSync(checkpoint).subarray(0, 5000)), 'the encoder'],
      [() => loadEncoder(7 as never), 'loadEncoder takes a path, or the bytes of a file'],
      [() => loadEncoder(checkpoint, { batchSize: 0 }), 'batchSize: 0 is not right'],
      [() => loadEncoder(checkpoint, { backend: 'none' as never }), 'there is no backend "none"'],
      [
        () =>
          pretrain({
            ...tiny,
            data: images,
            arch: { ...({} as Encoder), name: 'resnet50', forward: (_c, _p, x) => x },
          }).result,
        'there is an encoder resnet50 already: give yours another name',
      ],
    ];
    for (const [act, message] of wrong) {
      const error: unknown = await act().catch((error: unknown) => error);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toContain(message);
      expect((error as Error).message).not.toContain('\n');
    }
  });

  it('is disposed of once, after what is under way', async () => {
    const other = await loadEncoder(checkpoint);
    const rows = other.embed([png(1)]);
    await Promise.all([other.dispose(), other.dispose()]);
    expect(await rows).toHaveLength(1);
    await expect(other.embed([png(1)])).rejects.toThrow('the encoder was disposed of: load it again');
  });
});
