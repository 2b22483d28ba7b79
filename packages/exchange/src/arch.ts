/** Which architecture a state dict is of, by the names and shapes of its tensors. */
import type { EncoderConfig } from '@moco-ts/core';
import { builtInEncoders, type ResnetSpec, traitsNamed, type VitSpec } from '@moco-ts/encoders';

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

/** The built-in architectures, by what shapes tell of them. */
const archs: ReadonlyMap<string, string> = new Map(
  builtInEncoders.map(({ name, spec }) => [
    'block' in spec ? resnetSignature(spec) : vitSignature(spec),
    name,
  ]),
);

/** Block, blocks per stage, channels of the stem, inner channels and groups of the first block. */
function resnetSignature({ block, depths, width = 64, groups = 1, widthPerGroup = 64 }: ResnetSpec): string {
  return `${block} ${depths.join('.')} ${width} ${((width * widthPerGroup) / 64) * groups}/${groups}`;
}

function vitSignature({ stem = 'patch', dim, depth }: Pick<VitSpec, 'stem' | 'dim' | 'depth'>): string {
  return `${stem} ${dim} ${depth}`;
}

/** Whether an architecture's own stem is neither ImageNet's nor CIFAR's, but one for images of 32 pixels. */
export const hasSmallStem = (arch: string): boolean => traitsNamed(arch).stems[0] === 'small';

/** The architecture of an encoder's tensors; undefined when it is none of those known. */
export function inferArch(shapes: Shapes): FoundArch | undefined {
  return inferResnet(shapes) ?? inferVit(shapes);
}

/** One more than the largest index in names such as `layer1.<index>.`; 0 without any. */
function count(shapes: Shapes, prefix: string): number {
  return Object.keys(shapes).reduce((most, name) => {
    if (!name.startsWith(prefix)) return most;
    const index = Number(/^(\d{1,4})\./.exec(name.slice(prefix.length))?.[1] ?? -1);
    return Math.max(most, index + 1);
  }, 0);
}

function inferResnet(shapes: Shapes): FoundArch | undefined {
  const [width, , kernel] = shapes['conv1.weight'] ?? [];
  const bottleneck = 'layer1.0.conv3.weight' in shapes;
  const [inner, perGroup] = shapes['layer1.0.conv2.weight'] ?? [];
  const depths = [1, 2, 3, 4].map((stage) => count(shapes, `layer${stage}.`));
  if (inner === undefined || perGroup === undefined) return undefined;
  const signature = `${bottleneck ? 'bottleneck' : 'basic'} ${depths.join('.')} ${width} ${inner}/${inner / perGroup}`;
  const arch = archs.get(signature);
  if (arch === undefined) return undefined;
  // Two stems of 3x3 convolutions differ by their stride alone, which no shape tells; the encoder's own is the likelier.
  if (hasSmallStem(arch) && kernel === 3) return { arch };
  return { arch, stem: kernel === 3 ? 'cifar' : 'imagenet' };
}

function inferVit(shapes: Shapes): FoundArch | undefined {
  const dim = shapes.cls_token?.[2];
  if (dim === undefined) return undefined;
  const patch = shapes['patch_embed.proj.weight']?.[3];
  const stem = patch === undefined ? 'conv' : 'patch';
  const arch = archs.get(vitSignature({ stem, dim, depth: count(shapes, 'blocks.') }));
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
  return stem === 'cifar' || hasSmallStem(arch) ? 32 : 224;
}

/** The encoder's own configuration. */
export function encoderConfigOf({ stem, patchSize }: FoundArch, imageSize: number): EncoderConfig {
  return {
    imageSize,
    ...(stem !== undefined && { stem }),
    ...(patchSize !== undefined && { patchSize }),
  };
}
