/** The residual networks by torchvision's names, one for small images, and vision transformers. */
import { defineResnet } from './resnet.ts';
import { defineVit } from './vit.ts';

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
