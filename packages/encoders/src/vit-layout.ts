/** What a vision transformer's configuration comes to. */
import { type EncoderConfig, SettingError, UserError } from '@moco-ts/core';

export interface VitConfig extends EncoderConfig {
  /** Side of a patch in pixels; it divides the image size. Behind a convolutional stem a power of two. Default the architecture's. */
  readonly patchSize?: number;
  /** Train the linear patch projection too, which MoCo v3 freezes. Default false; a convolutional stem is always trained. */
  readonly trainPatchEmbed?: boolean;
}

/** How one architecture differs from another. */
export interface VitSpec {
  readonly name: string;
  /** Length of a token: a multiple of `heads` and of 4. */
  readonly dim: number;
  /** Blocks. */
  readonly depth: number;
  readonly heads: number;
  /** `patch`: one linear projection of each patch; `conv`: convolutions of stride 2 down to the patches. Default patch. */
  readonly stem?: 'patch' | 'conv';
  /** Side of a patch where the configuration names none. Default 16. */
  readonly patchSize?: number;
  /**
   * `fixed`: sines and cosines; `learned`: parameters, one for the class token too; `learned-patches`: of patches alone. Default
   * fixed.
   */
  readonly positions?: 'fixed' | 'learned' | 'learned-patches';
  /** Register tokens behind the class token (Darcet et al., arXiv 2309.16588), without positions. Default 0. */
  readonly registers?: number;
  /** A factor for each channel of what a block adds (Touvron et al., arXiv 2103.17239). Default false. */
  readonly layerScale?: boolean;
  /** A normalisation before the first block, and no bias in the patch projection (CLIP, arXiv 2103.00020). Default false. */
  readonly preNorm?: boolean;
  /** `quick-gelu`: x sigmoid(1.702 x). Default gelu. */
  readonly activation?: 'gelu' | 'quick-gelu';
  /** Of the normalisations. Default 1e-6. */
  readonly epsilon?: number;
  /** The normalisation of images with which its published weights were trained. Default ImageNet's. */
  readonly pixels?: {
    readonly name: string;
    readonly mean: readonly [number, number, number];
    readonly std: readonly [number, number, number];
  };
}

/** The side of a patch where a configuration names none. */
export const defaultPatchSize = ({ patchSize = 16 }: Pick<VitSpec, 'patchSize'>): number => patchSize;

/** One convolution of the stem, 3x3 of stride 2 with batch normalisation and ReLU; names are timm's. */
export interface StemConv {
  readonly conv: string;
  readonly norm: string;
  readonly inputs: number;
  readonly outputs: number;
}

export interface VitLayout {
  readonly dim: number;
  readonly heads: number;
  /** Width of the hidden layer in a block. */
  readonly hidden: number;
  /** The names of the blocks. */
  readonly blocks: readonly string[];
  readonly patchSize: number;
  /** Patches along a side. */
  readonly grid: number;
  /** The convolutional stem, and the name of the 1x1 convolution behind it; undefined for the patch projection. */
  readonly stem: { readonly convs: readonly StemConv[]; readonly last: string } | undefined;
  /** Whether the patch projection stays as it was initialised. */
  readonly frozenPatches: boolean;
  /** The shape of the learned positions, [1, tokens, dim]; undefined where they are fixed. */
  readonly positions: readonly [number, number, number] | undefined;
  readonly registers: number;
  readonly layerScale: boolean;
  readonly preNorm: boolean;
  readonly activation: 'gelu' | 'quick-gelu';
  readonly epsilon: number;
}

const patchEmbed = 'patch_embed.proj';

/** @throws SettingError for sizes that don't fit each other */
export function layout(spec: VitSpec, config: VitConfig): VitLayout {
  const { name, dim, depth, heads } = spec;
  const { positions = 'fixed', registers = 0, layerScale = false, preNorm = false } = spec;
  const { imageSize, patchSize = defaultPatchSize(spec), trainPatchEmbed = false } = config;
  const positive = (what: string, setting: 'imageSize' | 'patchSize', value: number) => {
    if (!Number.isInteger(value) || value < 1)
      throw new SettingError(`${name}: the ${what} ${value} should be a positive integer`, {
        setting,
        value,
      });
  };
  positive('image size', 'imageSize', imageSize);
  positive('patch size', 'patchSize', patchSize);
  if (imageSize % patchSize !== 0)
    throw new SettingError(
      `${name}: patches of ${patchSize} pixels don't fit images of ${imageSize}: choose an image size that is a multiple`,
      { setting: 'imageSize', value: imageSize },
    );
  if (dim % heads !== 0 || dim % 4 !== 0)
    throw new UserError(`${name}: the width ${dim} should be a multiple of 4 and of the ${heads} heads`);
  const grid = imageSize / patchSize;
  return {
    dim,
    heads,
    hidden: 4 * dim,
    blocks: Array.from({ length: depth }, (_, i) => `blocks.${i}`),
    patchSize,
    grid,
    stem: spec.stem === 'conv' ? convStem(spec, patchSize) : undefined,
    frozenPatches: spec.stem !== 'conv' && !trainPatchEmbed,
    positions: positions === 'fixed' ? undefined : [1, grid ** 2 + (positions === 'learned' ? 1 : 0), dim],
    registers,
    layerScale,
    preNorm,
    activation: spec.activation ?? 'gelu',
    epsilon: spec.epsilon ?? 1e-6,
  };
}

/** As many halvings as the patches need, channels doubling up to `dim`. */
function convStem({ name, dim }: VitSpec, patchSize: number): NonNullable<VitLayout['stem']> {
  const halvings = Math.log2(patchSize);
  const first = dim / 2 ** (halvings - 1);
  if (!Number.isInteger(halvings) || halvings < 1 || !Number.isInteger(first))
    throw new SettingError(
      `${name}: a convolutional stem can't make patches of ${patchSize} pixels in ${dim} channels: choose a power of two, such as 16`,
      { setting: 'patchSize', value: patchSize },
    );
  const convs = Array.from({ length: halvings }, (_, i) => ({
    conv: `${patchEmbed}.${3 * i}`,
    norm: `${patchEmbed}.${3 * i + 1}`,
    inputs: i === 0 ? 3 : first * 2 ** (i - 1),
    outputs: first * 2 ** i,
  }));
  return { convs, last: `${patchEmbed}.${3 * halvings}` };
}
