import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encoderNamed, type Params, prefixed, rng, sizeOf } from '@moco-ts/core';
import { registerEncoders } from '@moco-ts/encoders';
import { detectron2Config, encodeTorch } from '@moco-ts/exchange';
import { describe, expect, it } from 'vitest';
import { moco, temporaryFolder } from '../testing.ts';

registerEncoders();
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const parity = <T>(name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../parity/fixtures/${name}`, import.meta.url), 'utf8')) as T;
/** What parity/detectron2.py read and compared. */
const { names, sha256 } = parity<{ names: Record<string, string>; sha256: string }>('detectron2.json');
const { archs } = parity<{ archs: Record<string, Record<string, number | number[]>> }>('state-dicts.json');

/** torchvision's tensors, element i of tensor t being (i + t) mod 251 / 256, as in parity/detectron2.py. */
function numbered(arch: string): Params {
  const shapes = Object.entries(archs[arch]!).flatMap<readonly [string, readonly number[]]>(
    ([name, shape]) =>
      typeof shape === 'number'
        ? ['weight', 'bias', 'running_mean', 'running_var'].map(
            (part) => [`${name}.${part}`, [shape]] as const,
          )
        : [[name, shape] as const],
  );
  return Object.fromEntries(
    shapes.map(([name, shape], t) => [
      name,
      {
        shape,
        dtype: 'float32',
        data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i + t) % 251) / 256),
      },
    ]),
  );
}

const save = async (name: string, params: Params) =>
  writeFileSync(at(name), await encodeTorch({ state_dict: prefixed('module.encoder_q', params) }));
const convert = (input: string, output: string, ...flags: string[]) =>
  moco('convert', at(input), '-o', at(output), '--names', 'detectron2', ...flags);

describe('moco convert --names detectron2', () => {
  it("writes the file in which Python found the official recipe's names and values", async () => {
    await save('resnet50.pth', numbered('resnet50'));
    const { code, out } = await convert('resnet50.pth', 'out.pkl');
    expect(code).toBe(0);
    const file = readFileSync(at('out.pkl'));
    for (const name of Object.values(names))
      expect(file.includes(`X${String.fromCharCode(name.length)}\0\0\0${name}`), name).toBe(true);
    expect(createHash('sha256').update(file).digest('hex')).toBe(sha256);
    // The official configuration's: configs/pascal_voc_R_50_C4_24k_moco.yaml.
    expect(out).toContain(`Next: train a detector with these lines in its configuration (docs/transfer.md):
MODEL:
  WEIGHTS: ${JSON.stringify(at('out.pkl'))}
  PIXEL_MEAN: [123.675, 116.28, 103.53]
  PIXEL_STD: [58.395, 57.12, 57.375]
  BACKBONE: { FREEZE_AT: 0 }
  RESNETS: { DEPTH: 50, STRIDE_IN_1X1: False, NORM: SyncBN }
INPUT:
  FORMAT: RGB
`);
  });

  // Keys and limits of detectron2's build_resnet_backbone.
  it.each([
    ['resnet18', 'DEPTH: 18, RES2_OUT_CHANNELS: 64'],
    ['resnet152', 'DEPTH: 152'],
    ['resnext50_32x4d', 'DEPTH: 50, NUM_GROUPS: 32, WIDTH_PER_GROUP: 4'],
    ['wide_resnet101_2', 'DEPTH: 101, WIDTH_PER_GROUP: 128'],
  ])('says how detectron2 builds %s', (arch, shape) => {
    const stem = { 'conv1.weight': numbered('resnet18')['conv1.weight']! };
    const config = detectron2Config('out.pkl', arch, stem, { mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2] });
    expect(config).toContain(`RESNETS: { ${shape}, STRIDE_IN_1X1: False`);
    expect(config).toContain('PIXEL_MEAN: [127.5, 102, 76.5]');
  });

  it.each([
    ['a stem for small images', 'tiny.pth', 'no.pkl', [], /has no place for this resnet-tiny/],
    ['a ViT', 'vit.pth', 'no.pkl', [], /has no place for this vit_tiny/],
    ['a head', 'tiny.pth', 'no.pkl', ['--with-head'], /no place for a contrastive head/],
    ['a name of PyTorch', 'tiny.pth', 'no.pth', [], /for --names detectron2 the name should end in \.pkl/],
    ['a pickle by other names', 'tiny.pth', 'no.pkl', ['--names', 'plain'], /add --names detectron2/],
  ])('refuses %s', async (_, input, output, flags, message) => {
    await save(
      'tiny.pth',
      encoderNamed('resnet-tiny').init({ imageSize: 32 }, (name) => rng(1, name)),
    );
    await save(
      'vit.pth',
      encoderNamed('vit_tiny').init({ imageSize: 32 }, (name) => rng(1, name)),
    );
    const { code, err } = await convert(input, output, ...flags);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
    expect(existsSync(at(output))).toBe(false);
  });
});
