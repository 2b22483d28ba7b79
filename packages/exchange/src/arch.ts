/** Which architecture a state dict is of, by the names and shapes of its tensors. */
import type { EncoderConfig } from '@moco-ts/core';
import {
  builtInEncoders,
  defaultPatchSize,
  type ResnetSpec,
  traitsNamed,
  type VitSpec,
} from '@moco-ts/encoders';
import { gridOf } from './positions.ts';
import type { Shapes } from './shapes.ts';
import { count, traitsIn, type VitTraits } from './vit-traits.ts';

/** What a shape says about a network; the rest of its configuration is not to be seen in it. */
export interface FoundArch {
  readonly arch: string;
  readonly stem?: 'imagenet' | 'cifar';
  readonly patchSize?: number;
  /** Pixels; of ViTs with positions, whose number depends on it. */
  readonly imageSize?: number;
}

/** The built-in architectures, by what their tensors tell of them: an activation function is not among it. */
const archs: ReadonlyMap<string, string> = new Map(
  builtInEncoders
    .filter(({ spec }) => !('activation' in spec))
    .map(({ name, spec }) => ['block' in spec ? resnetSignature(spec) : vitSignature(spec), name]),
);

/** What a built-in ViT was made of. */
export const vitSpecOf = (arch: string): VitSpec | undefined =>
  builtInEncoders.flatMap(({ name, spec }) => (name === arch && 'dim' in spec ? [spec] : []))[0];

/** Block, blocks per stage, channels of the stem, inner channels and groups of the first block. */
function resnetSignature({ block, depths, width = 64, groups = 1, widthPerGroup = 64 }: ResnetSpec): string {
  return `${block} ${depths.join('.')} ${width} ${((width * widthPerGroup) / 64) * groups}/${groups}`;
}

function vitSignature(traits: VitTraits): string {
  const { stem = 'patch', dim, depth, positions = 'fixed', registers = 0 } = traits;
  const { layerScale = false, preNorm = false } = traits;
  return [stem, dim, depth, positions, registers, layerScale, preNorm].join(' ');
}

/** Whether two architectures have tensors of the same names and shapes, so far as their positions are fixed or learned alike. */
export function areAlike(arch: string, other: string): boolean {
  const [a, b] = [vitSpecOf(arch), vitSpecOf(other)];
  return arch === other || (a !== undefined && b !== undefined && vitSignature(a) === vitSignature(b));
}

/** Whether an architecture's own stem is neither ImageNet's nor CIFAR's, but one for images of 32 pixels. */
export const hasSmallStem = (arch: string): boolean => traitsNamed(arch).stems[0] === 'small';

/**
 * The architecture of an encoder's tensors; undefined when it is none of those known.
 * @param learned whether a ViT's positions are other than the fixed ones; default: where no arch with fixed ones is like it
 */
export function inferArch(shapes: Shapes, learned = false): FoundArch | undefined {
  return inferResnet(shapes) ?? inferVit(shapes, learned) ?? inferVit(shapes, !learned);
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

function inferVit(shapes: Shapes, learned: boolean): FoundArch | undefined {
  const traits = traitsIn(shapes, learned);
  const arch = traits && archs.get(vitSignature(traits));
  if (arch === undefined) return undefined;
  // A convolutional stem halves the image with each 3x3 convolution.
  const patchSize = shapes['patch_embed.proj.weight']?.[3] ?? 2 ** threes(shapes);
  const grid = shapes.pos_embed && gridOf(shapes.pos_embed)?.side;
  return {
    arch,
    ...(patchSize !== defaultPatchSize(vitSpecOf(arch)!) && { patchSize }),
    ...(grid !== undefined && { imageSize: grid * patchSize }),
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
