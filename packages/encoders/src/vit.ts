/**
 * Vision transformers (Dosovitskiy et al., arXiv 2010.11929) as MoCo v3 uses them (Chen et al., arXiv 2104.02057): fixed
 * positions, Xavier initialisation, a frozen patch projection, and optionally a convolutional stem (Xiao et al., arXiv
 * 2106.14881); and as DeiT, DINOv2 and CLIP do, by the traits in {@link VitSpec}. Names and layouts are timm's.
 */
import {
  add,
  concat,
  defineEncoder,
  type Encoder,
  type ForwardContext,
  type GraphBuilder,
  gelu,
  mul,
  nn,
  type Params,
  pad,
  type Rng,
  relu,
  reshape,
  slice,
  stopGradient,
  type Traced,
  type TracedParams,
  tanh,
  tensor,
  transpose,
} from '@moco-ts/core';
import { sinCosPositions } from './positions.ts';
import { layout, type VitConfig, type VitLayout, type VitSpec } from './vit-layout.ts';

/** An encoder with what it was made of. */
export interface VitEncoder extends Encoder<VitConfig> {
  readonly spec: VitSpec;
}

const projection = 'patch_embed.proj';

/** An encoder from the description of an architecture. Its feature is the class token behind the last normalisation. */
export function defineVit(spec: VitSpec): VitEncoder {
  const encoder = defineEncoder<VitConfig>({
    name: spec.name,
    traits: { family: 'vit', stems: [spec.stem ?? 'patch'] },
    inputShape: (config) => {
      layout(spec, config);
      return [3, config.imageSize, config.imageSize];
    },
    featureDim: (config) => layout(spec, config).dim,
    init: (config, random) => init(layout(spec, config), random),
    frozen: (config) => {
      const { frozenPatches, preNorm } = layout(spec, config);
      return frozenPatches ? [`${projection}.weight`, ...(preNorm ? [] : [`${projection}.bias`])] : [];
    },
    forward: (context, params, x) => forward(layout(spec, context.config), context, params, x),
    tokens: (context, params, x) => patchTokens(layout(spec, context.config), context, params, x),
  });
  return { ...encoder, spec };
}

/**
 * Linear layers Xavier uniform with biases 0, qkv as three matrices; the patch projection Xavier uniform as a linear layer
 * of a patch's values; convolutions as PyTorch starts them; the class token and registers all but 0; learned positions of
 * deviation 0.02 and layer scales of 1e-5, as timm starts them.
 */
function init(vit: VitLayout, random: (parameter: string) => Rng): Params {
  const { dim, hidden, patchSize, stem } = vit;
  const params: Params = { cls_token: nn.normalOf([1, 1, dim], 1e-6, random('cls_token')) };
  if (stem) {
    const uniform = (name: string, shape: readonly number[], fanIn: number) => {
      params[name] = nn.uniformWithin(shape, 1 / Math.sqrt(fanIn), random(name));
    };
    for (const { conv, norm, inputs, outputs } of stem.convs) {
      uniform(`${conv}.weight`, [outputs, inputs, 3, 3], 9 * inputs);
      nn.initBatchNorm(params, norm, outputs);
    }
    uniform(`${stem.last}.weight`, [dim, dim, 1, 1], dim);
    uniform(`${stem.last}.bias`, [dim], dim);
  } else {
    const weight = `${projection}.weight`;
    const shape = [dim, 3, patchSize, patchSize];
    params[weight] = nn.xavierUniform(shape, 3 * patchSize ** 2, dim, random(weight));
    if (!vit.preNorm) params[`${projection}.bias`] = filled(dim, 0);
  }
  initTokens(vit, params, random);
  for (const name of vit.blocks) {
    nn.initLayerNorm(params, `${name}.norm1`, dim);
    nn.initAttention(params, `${name}.attn`, dim, random);
    nn.initLayerNorm(params, `${name}.norm2`, dim);
    nn.initLinearXavier(params, `${name}.mlp.fc1`, dim, hidden, random);
    nn.initLinearXavier(params, `${name}.mlp.fc2`, hidden, dim, random);
    if (vit.layerScale)
      for (const scale of ['ls1', 'ls2']) params[`${name}.${scale}.gamma`] = filled(dim, 1e-5);
  }
  nn.initLayerNorm(params, 'norm', dim);
  return params;
}

const filled = (length: number, value: number) => tensor(new Float32Array(length).fill(value), [length]);

/** What some architectures have beside the class token and before the blocks. */
function initTokens(
  { dim, positions, registers, preNorm }: VitLayout,
  params: Params,
  random: (parameter: string) => Rng,
): void {
  const normal = (name: string, shape: readonly number[], deviation: number) => {
    params[name] = nn.normalOf(shape, deviation, random(name));
  };
  if (registers > 0) normal('reg_token', [1, registers, dim], 1e-6);
  if (positions) normal('pos_embed', positions, 0.02);
  if (preNorm) nn.initLayerNorm(params, 'norm_pre', dim);
}

/** The class token behind the last normalisation. */
function forward(
  vit: VitLayout,
  context: ForwardContext<VitConfig>,
  params: TracedParams,
  image: Traced,
): Traced {
  const cls = reshape(passBlocks(vit, context, params, image, false), [image.shape[0]!, vit.dim]);
  return nn.layerNorm(params, 'norm', cls, vit.epsilon);
}

/** The patches behind the last normalisation, as timm's `forward_features` has them behind class token and registers. */
function patchTokens(
  vit: VitLayout,
  context: ForwardContext<VitConfig>,
  params: TracedParams,
  image: Traced,
): Traced {
  const { dim, grid, registers, epsilon } = vit;
  const all = passBlocks(vit, context, params, image, true);
  const patches = slice(all, [0, 1 + registers, 0], [image.shape[0]!, grid ** 2, dim]);
  return nn.layerNorm(params, 'norm', patches, epsilon);
}

/** Behind the last block: `all` tokens, [N, T, D], or the class token alone, [N, 1, D]. */
function passBlocks(
  vit: VitLayout,
  context: ForwardContext<VitConfig>,
  params: TracedParams,
  image: Traced,
  all: boolean,
): Traced {
  const { heads, stem, epsilon } = vit;
  const patches = stem ? convPatches(vit, stem, context, params, image) : linearPatches(vit, params, image);
  const first = tokens(vit, params, image.builder);
  const prefix = first.shape[0]! - patches.shape[1]!;
  const placed = add(pad(patches, [0, prefix, 0], [0, 0, 0]), first);
  let x = nn.endBlock(context, vit.preNorm ? nn.layerNorm(params, 'norm_pre', placed, epsilon) : placed);
  const scaled = (name: string, y: Traced) =>
    vit.layerScale ? mul(y, nn.parameter(params, `${name}.gamma`)) : y;
  const activate = vit.activation === 'gelu' ? gelu : quickGelu;
  const last = vit.blocks.length - 1;
  vit.blocks.forEach((name, block) => {
    const attended = nn.layerNorm(params, `${name}.norm1`, x, epsilon);
    // Of the last block the features use only the class token.
    x =
      all || block < last
        ? add(x, scaled(`${name}.ls1`, nn.attention(params, `${name}.attn`, attended, heads)))
        : add(
            classToken(x),
            scaled(`${name}.ls1`, nn.firstAttention(params, `${name}.attn`, attended, heads)),
          );
    const inner = nn.layerNorm(params, `${name}.norm2`, x, epsilon);
    const hidden = activate(nn.linear(params, `${name}.mlp.fc1`, inner));
    x = nn.endBlock(context, add(x, scaled(`${name}.ls2`, nn.linear(params, `${name}.mlp.fc2`, hidden))));
  });
  return x;
}

/**
 * What is added to the patches, [T, D]: all positions, and in front the class token and registers, which are written as a sum:
 * the batch is in no shape, and so may stay free.
 */
function tokens(
  { dim, grid, positions, registers }: VitLayout,
  params: TracedParams,
  builder: GraphBuilder,
): Traced {
  const patches = grid ** 2;
  const all = 1 + registers + patches;
  const given = positions
    ? reshape(nn.parameter(params, 'pos_embed'), [positions[1], dim])
    : builder.constant(tensor(sinCosPositions(dim, grid), [patches + 1, dim]));
  const token = reshape(nn.parameter(params, 'cls_token'), [1, dim]);
  const front =
    registers > 0 ? concat([token, reshape(nn.parameter(params, 'reg_token'), [registers, dim])], 0) : token;
  // Positions of patches alone leave the tokens in front as they are.
  const missing = all - given.shape[0]!;
  const placed = missing > 0 ? pad(given, [missing, 0], [0, 0]) : given;
  return add(placed, pad(front, [0, 0], [patches, 0]));
}

/** x sigmoid(1.702 x), by the tangent, which overflows nowhere. */
function quickGelu(x: Traced): Traced {
  return mul(mul(x, 0.5), add(tanh(mul(x, 1.702 / 2)), 1));
}

/** [N, T, D] to [N, 1, D] */
function classToken(x: Traced): Traced {
  const [batch, , dim] = x.shape as [number, number, number];
  return slice(x, [0, 0, 0], [batch, 1, dim]);
}

/** The patch projection, a convolution whose windows don't overlap, as one matrix product: [N, grid^2, D]. */
function linearPatches(
  { dim, patchSize, grid, frozenPatches, preNorm }: VitLayout,
  params: TracedParams,
  image: Traced,
): Traced {
  const batch = image.shape[0]!;
  const cut = reshape(image, [batch, 3, grid, patchSize, grid, patchSize]);
  const size = 3 * patchSize ** 2;
  const patches = reshape(transpose(cut, [0, 2, 4, 1, 3, 5]), [batch, grid ** 2, size]);
  const given = (name: string) => {
    const value = nn.parameter(params, `${projection}.${name}`);
    return frozenPatches ? stopGradient(value) : value;
  };
  const flat = {
    'proj.weight': reshape(given('weight'), [dim, size]),
    'proj.bias': preNorm ? image.builder.constant(filled(dim, 0)) : given('bias'),
  };
  return nn.linear(flat, 'proj', patches);
}

/** The convolutional stem: [N, grid^2, D]. */
function convPatches(
  { dim, grid }: VitLayout,
  { convs, last }: NonNullable<VitLayout['stem']>,
  context: ForwardContext<VitConfig>,
  params: TracedParams,
  image: Traced,
): Traced {
  let x = image;
  for (const { conv, norm } of convs) {
    const y = nn.conv(params, conv, x, { stride: 2, padding: 1 });
    x = relu(nn.batchNorm(context, params, norm, y));
  }
  const map = nn.convWithBias(params, last, x);
  return transpose(reshape(map, [image.shape[0]!, dim, grid ** 2]), [0, 2, 1]);
}
