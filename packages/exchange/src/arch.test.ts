import { describe, expect, it } from 'vitest';
import { inferArch } from './arch.ts';
import type { Shapes } from './shapes.ts';
import { fixture } from './testing.ts';

const json = (name: string) => JSON.parse(new TextDecoder().decode(fixture(`../${name}`)));
const torchvision = json('state-dicts.json').archs as Record<string, Record<string, number | number[]>>;
const timm = json('vit.json').timm as Record<string, { depth: number; shapes: Record<string, number[]> }>;

/** Normalisations are written by their width alone. */
const resnetShapes = (arch: string): Shapes =>
  Object.fromEntries(
    Object.entries(torchvision[arch]!).map(([name, shape]) =>
      typeof shape === 'number' ? [`${name}.weight`, [shape]] : [name, shape],
    ),
  );

describe("torchvision's and timm's shapes", () => {
  it.each(Object.keys(torchvision))('tell that it is %s', (arch) => {
    const shapes = resnetShapes(arch);
    expect(inferArch(shapes)).toEqual({ arch, stem: 'imagenet' });
    expect(inferArch({ ...shapes, 'conv1.weight': [64, 3, 3, 3] })).toEqual({ arch, stem: 'cifar' });
  });
  it.each(Object.keys(timm))('tell that it is %s', (arch) => {
    const { depth, shapes } = timm[arch]!;
    const last = { [`blocks.${depth - 1}.norm1.weight`]: shapes['blocks.0.norm1.weight']! };
    expect(inferArch({ ...shapes, ...last })).toEqual({ arch, imageSize: 224 });
    const [width] = shapes['patch_embed.proj.bias']!;
    const patches = { 'patch_embed.proj.weight': [width!, 3, 8, 8], pos_embed: [1, 145, width!] };
    expect(inferArch({ ...shapes, ...last, ...patches })).toEqual({ arch, patchSize: 8, imageSize: 96 });
    expect(inferArch(shapes)).toBeUndefined();
  });
});

it("shapes name no stem for an encoder whose own is neither ImageNet's nor CIFAR's", () => {
  const block = { 'layer1.0.conv1.weight': [8, 8, 3, 3], 'layer1.0.conv2.weight': [8, 8, 3, 3] };
  const stages = Object.fromEntries([2, 3, 4].map((stage) => [`layer${stage}.0.bn1.bias`, [8]]));
  expect(inferArch({ ...block, ...stages, 'conv1.weight': [8, 3, 3, 3] })).toEqual({ arch: 'resnet-micro' });
  expect(inferArch({ ...block, ...stages, 'conv1.weight': [8, 3, 7, 7] })).toEqual({
    arch: 'resnet-micro',
    stem: 'imagenet',
  });
});

it('shapes without a fourth stage are of the encoder that has three', () => {
  const wide = [32, 32, 3, 3];
  const block = { 'layer1.0.conv1.weight': wide, 'layer1.0.conv2.weight': wide };
  const stages = Object.fromEntries([2, 3].map((stage) => [`layer${stage}.0.bn1.bias`, [32]]));
  expect(inferArch({ ...block, ...stages, 'conv1.weight': [32, 3, 3, 3] })).toEqual({ arch: 'resnet-mini' });
});

it('the shapes of an unknown network name no encoder', () => {
  expect(inferArch({})).toBeUndefined();
  const { 'layer4.1.conv1.weight': _, 'layer4.1.conv2.weight': __, ...cut } = resnetShapes('resnet18');
  const rest = Object.fromEntries(Object.entries(cut).filter(([name]) => !name.startsWith('layer4.1.')));
  expect(inferArch(rest)).toBeUndefined();
});
