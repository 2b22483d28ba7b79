/** Which architecture a state dict is of, by the names and shapes of its tensors. */
import type { EncoderConfig } from '@moco-ts/core';

/** What a shape says about a network; the rest of its configuration is not to be seen in it. */
export interface FoundArch {
  readonly arch: string;
  readonly stem?: 'imagenet' | 'cifar';
  readonly patchSize?: number;
  /** Pixels; of ViTs with positions, whose number depends on it. */
  readonly imageSize?: number;
}

/** Shapes of tensors by name. */
export type Shapes = Readonly<Record<string, readonly number[]>>;

/** Block, blocks per stage, channels of the stem, inner channels and groups of the first block. */
const resnets: Readonly<Record<string, string>> = {
  'basic 2.2.2.2 64 64/1': 'resnet18',
  'basic 3.4.6.3 64 64/1': 'resnet34',
  'bottleneck 3.4.6.3 64 64/1': 'resnet50',
  'bottleneck 3.4.23.3 64 64/1': 'resnet101',
  'bottleneck 3.8.36.3 64 64/1': 'resnet152',
  'bottleneck 3.4.6.3 64 128/32': 'resnext50_32x4d',
  'bottleneck 3.4.23.3 64 256/32': 'resnext101_32x8d',
  'bottleneck 3.4.6.3 64 128/1': 'wide_resnet50_2',
  'bottleneck 3.4.23.3 64 128/1': 'wide_resnet101_2',
  'basic 1.1.1.1 32 32/1': 'resnet-tiny',
  'basic 1.1.1.1 8 8/1': 'resnet-micro',
};

/** Those whose stem is neither ImageNet's nor CIFAR's. */
export const ownStem: ReadonlySet<string> = new Set(['resnet-tiny', 'resnet-micro']);

/** Stem, width, blocks. */
const vits: Readonly<Record<string, string>> = {
  'patch 192 12': 'vit_tiny',
  'patch 384 12': 'vit_small',
  'patch 768 12': 'vit_base',
  'patch 1024 24': 'vit_large',
  'conv 384 11': 'vit_conv_small',
  'conv 768 11': 'vit_conv_base',
};

/** The architecture of an encoder's tensors; undefined when it is none of those known. */
export function inferArch(shapes: Shapes): FoundArch | undefined {
  return inferResnet(shapes) ?? inferVit(shapes);
}

/** One more than the largest index in names such as `layer1.<index>.`; 0 without any. */
function count(shapes: Shapes, prefix: string): number {
  return Object.keys(shapes).reduce((most, name) => {
    if (!name.startsWith(prefix)) return most;
    const found = Number(/^(\d{1,4})\./.exec(name.slice(prefix.length))?.[1] ?? -1);
    return Math.max(most, found + 1);
  }, 0);
}

function inferResnet(shapes: Shapes): FoundArch | undefined {
  const [width, , kernel] = shapes['conv1.weight'] ?? [];
  const bottleneck = 'layer1.0.conv3.weight' in shapes;
  const [inner, perGroup] = shapes['layer1.0.conv2.weight'] ?? [];
  const depths = [1, 2, 3, 4].map((stage) => count(shapes, `layer${stage}.`));
  if (inner === undefined || perGroup === undefined) return undefined;
  const signature = `${bottleneck ? 'bottleneck' : 'basic'} ${depths.join('.')} ${width} ${inner}/${inner / perGroup}`;
  const arch = resnets[signature];
  if (arch === undefined) return undefined;
  // Two stems of 3x3 convolutions differ by their stride alone, which no shape tells; the encoder's own is the likelier.
  if (ownStem.has(arch) && kernel === 3) return { arch };
  return { arch, stem: kernel === 3 ? 'cifar' : 'imagenet' };
}

function inferVit(shapes: Shapes): FoundArch | undefined {
  const dim = shapes.cls_token?.[2];
  const patch = shapes['patch_embed.proj.weight']?.[3];
  const arch = vits[`${patch === undefined ? 'conv' : 'patch'} ${dim} ${count(shapes, 'blocks.')}`];
  if (arch === undefined) return undefined;
  // A convolutional stem halves the image with each 3x3 convolution.
  const patchSize = patch ?? 2 ** threes(shapes);
  const tokens = shapes.pos_embed?.[1];
  const grid = tokens === undefined ? undefined : Math.sqrt(tokens - 1);
  return {
    arch,
    ...(patchSize !== 16 && { patchSize }),
    ...(grid !== undefined && Number.isInteger(grid) && { imageSize: grid * patchSize }),
  };
}

function threes(shapes: Shapes): number {
  const stem = /^patch_embed\.proj\.\d+\.weight$/;
  return Object.entries(shapes).filter(([name, shape]) => stem.test(name) && shape[2] === 3).length;
}

/** Pixels when neither the file nor the caller says: the papers' size, or CIFAR's behind its stem. */
export function defaultSize({ arch, stem }: FoundArch): number {
  return stem === 'cifar' || ownStem.has(arch) ? 32 : 224;
}

/** The encoder's own configuration. */
export function encoderConfigOf({ stem, patchSize }: FoundArch, imageSize: number): EncoderConfig {
  return {
    imageSize,
    ...(stem !== undefined && { stem }),
    ...(patchSize !== undefined && { patchSize }),
  };
}
