/** The residual networks by torchvision's names, some for small images, and vision transformers. */
import { defineResnet } from './resnet.ts';
import { defineVit, type VitEncoder } from './vit.ts';
import type { VitSpec } from './vit-layout.ts';

type Size = Pick<VitSpec, 'dim' | 'depth' | 'heads'>;
const tiny: Size = { dim: 192, depth: 12, heads: 3 };
const small: Size = { dim: 384, depth: 12, heads: 6 };
const base: Size = { dim: 768, depth: 12, heads: 12 };
const large: Size = { dim: 1024, depth: 24, heads: 16 };

function deit(name: string, size: Size): VitEncoder {
  return defineVit({ name, ...size, positions: 'learned' });
}

const registers = { registers: 4, positions: 'learned-patches' } as const;

function dinov2(name: string, size: Size, traits: Partial<VitSpec> = {}): VitEncoder {
  return defineVit({ name, ...size, patchSize: 14, positions: 'learned', layerScale: true, ...traits });
}

const quick = { activation: 'quick-gelu' } as const;
const pixels = {
  name: 'CLIP',
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
} as const;

function clip(name: string, size: Size, traits: Partial<VitSpec> = {}): VitEncoder {
  return defineVit({ name, ...size, positions: 'learned', preNorm: true, epsilon: 1e-5, pixels, ...traits });
}

export const resnet18 = defineResnet({ name: 'resnet18', block: 'basic', depths: [2, 2, 2, 2] });
export const resnet34 = defineResnet({ name: 'resnet34', block: 'basic', depths: [3, 4, 6, 3] });
export const resnet50 = defineResnet({ name: 'resnet50', block: 'bottleneck', depths: [3, 4, 6, 3] });
export const resnet101 = defineResnet({ name: 'resnet101', block: 'bottleneck', depths: [3, 4, 23, 3] });
export const resnet152 = defineResnet({ name: 'resnet152', block: 'bottleneck', depths: [3, 8, 36, 3] });
export const resnext50_32x4d = defineResnet({
  name: 'resnext50_32x4d',
  block: 'bottleneck',
  depths: [3, 4, 6, 3],
  groups: 32,
  widthPerGroup: 4,
});
export const resnext101_32x8d = defineResnet({
  name: 'resnext101_32x8d',
  block: 'bottleneck',
  depths: [3, 4, 23, 3],
  groups: 32,
  widthPerGroup: 8,
});
export const wide_resnet50_2 = defineResnet({
  name: 'wide_resnet50_2',
  block: 'bottleneck',
  depths: [3, 4, 6, 3],
  widthPerGroup: 128,
});
export const wide_resnet101_2 = defineResnet({
  name: 'wide_resnet101_2',
  block: 'bottleneck',
  depths: [3, 4, 23, 3],
  widthPerGroup: 128,
});
/** Four basic blocks of 32-64-128-256 channels behind a 3x3 convolution of stride 2: for images of 32 pixels. */
export const resnetTiny = defineResnet({
  name: 'resnet-tiny',
  block: 'basic',
  depths: [1, 1, 1, 1],
  width: 32,
  stem: 'small',
});
/** The same with 8-16-32-64 channels, a sixteenth of the work: for browsers without a GPU. */
export const resnetMicro = defineResnet({
  name: 'resnet-micro',
  block: 'basic',
  depths: [1, 1, 1, 1],
  width: 8,
  stem: 'small',
});
/**
 * Three basic blocks of 32-64-128 channels, the last map in 2x2 cells: for sets of some thousand small images, where the
 * place of a detail tells one image from another.
 */
export const resnetMini = defineResnet({
  name: 'resnet-mini',
  block: 'basic',
  depths: [1, 1, 1, 0],
  width: 32,
  stem: 'small',
  grid: 2,
});
/** The vision transformers of MoCo v3's table 1 and DeiT's Tiny. MoCo v3's Small has 12 heads, timm's has 6. */
export const vit_tiny = defineVit({ name: 'vit_tiny', dim: 192, depth: 12, heads: 3 });
export const vit_small = defineVit({ name: 'vit_small', dim: 384, depth: 12, heads: 12 });
export const vit_base = defineVit({ name: 'vit_base', dim: 768, depth: 12, heads: 12 });
export const vit_large = defineVit({ name: 'vit_large', dim: 1024, depth: 24, heads: 16 });
/** A convolutional stem in the place of the patch projection and of one block. */
export const vit_conv_small = defineVit({
  name: 'vit_conv_small',
  dim: 384,
  depth: 11,
  heads: 12,
  stem: 'conv',
});
export const vit_conv_base = defineVit({
  name: 'vit_conv_base',
  dim: 768,
  depth: 11,
  heads: 12,
  stem: 'conv',
});
/** DeiT's, by timm's names: learned positions, and 6 heads in the Small. The layouts of timm's `vit_*_patch16_224`, too. */
export const deit_tiny_patch16_224 = deit('deit_tiny_patch16_224', tiny);
export const deit_small_patch16_224 = deit('deit_small_patch16_224', small);
export const deit_base_patch16_224 = deit('deit_base_patch16_224', base);
export const vit_large_patch16_224 = deit('vit_large_patch16_224', large);
/** DINOv2's (Oquab et al., arXiv 2304.07193), by timm's names. */
export const vit_small_patch14_dinov2 = dinov2('vit_small_patch14_dinov2', small);
export const vit_base_patch14_dinov2 = dinov2('vit_base_patch14_dinov2', base);
export const vit_large_patch14_dinov2 = dinov2('vit_large_patch14_dinov2', large);
export const vit_small_patch14_reg4_dinov2 = dinov2('vit_small_patch14_reg4_dinov2', small, registers);
export const vit_base_patch14_reg4_dinov2 = dinov2('vit_base_patch14_reg4_dinov2', base, registers);
export const vit_large_patch14_reg4_dinov2 = dinov2('vit_large_patch14_reg4_dinov2', large, registers);
/** CLIP's image encoders (Radford et al., arXiv 2103.00020), by timm's names. OpenAI's own weights are for the quick GELU. */
export const vit_base_patch16_clip_224 = clip('vit_base_patch16_clip_224', base);
export const vit_large_patch14_clip_224 = clip('vit_large_patch14_clip_224', large, { patchSize: 14 });
export const vit_base_patch16_clip_quickgelu_224 = clip('vit_base_patch16_clip_quickgelu_224', base, quick);
export const vit_large_patch14_clip_quickgelu_224 = clip('vit_large_patch14_clip_quickgelu_224', large, {
  ...quick,
  patchSize: 14,
});
