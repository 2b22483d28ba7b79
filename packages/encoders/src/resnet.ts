/**
 * Residual networks: ResNet (He et al., arXiv 1512.03385), ResNeXt (Xie et al., arXiv 1611.05431) and wide ResNet
 * (Zagoruyko and Komodakis, arXiv 1605.07146). Names, layouts and initialisation are torchvision's; the stride of a
 * bottleneck is in its 3x3 convolution ("v1.5").
 */
import {
  add,
  concat,
  defineEncoder,
  type Encoder,
  type EncoderConfig,
  type ForwardContext,
  maxPool2d,
  mean,
  nn,
  type Params,
  type Rng,
  relu,
  reshape,
  SettingError,
  slice,
  type Traced,
  type TracedParams,
  transpose,
  UserError,
} from '@moco-ts/core';

export interface ResnetConfig extends EncoderConfig {
  /** Channels of the stem and of the first stage before expansion; default the architecture's own (64). */
  readonly width?: number;
}

/** How one architecture differs from another. */
export interface ResnetSpec {
  readonly name: string;
  /** `basic`: two 3x3 convolutions; `bottleneck`: 1x1, 3x3 and 1x1, the last four times as wide. */
  readonly block: 'basic' | 'bottleneck';
  /** Blocks in each of the four stages; none where a stage is left out. */
  readonly depths: readonly [number, number, number, number];
  /** Default 64. */
  readonly width?: number;
  /** Groups of a bottleneck's 3x3 convolution; default 1. */
  readonly groups?: number;
  /** Channels of each group where a stage is 64 wide; default 64. */
  readonly widthPerGroup?: number;
  /** The stem when the configuration names none; default imagenet. */
  readonly stem?: StemName;
  /** The last map is averaged to cells of a grid, this many a side: features keep where things are. Default 1, the whole map. */
  readonly grid?: number;
}

/** An encoder with what it was made of. */
export interface ResnetEncoder extends Encoder<ResnetConfig> {
  readonly spec: ResnetSpec;
}

type StemName = keyof typeof stems;

/** The layers before the stages. */
interface Stem {
  readonly kernel: number;
  readonly stride: number;
  /** A 3x3 max-pool of stride 2 at the end. */
  readonly pool: boolean;
}

const stems = {
  imagenet: { kernel: 7, stride: 2, pool: true },
  cifar: { kernel: 3, stride: 1, pool: false },
  small: { kernel: 3, stride: 2, pool: false },
} as const satisfies Record<string, Stem>;

interface Conv {
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
  readonly stride: number;
  readonly groups: number;
}

/** A block's convolutions in order, each followed by its batch normalisation: convI and bnI, I from 1. */
interface Block {
  readonly name: string;
  readonly convs: readonly Conv[];
  /** On the shortcut, where the shape changes. */
  readonly downsample?: Conv;
}

interface Layout {
  readonly stem: Stem;
  readonly first: Conv;
  readonly blocks: readonly Block[];
  /** Cells a side. */
  readonly grid: number;
  readonly featureDim: number;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function layout(spec: ResnetSpec, config: ResnetConfig): Layout {
  const name = config.stem ?? spec.stem ?? 'imagenet';
  if (!Object.hasOwn(stems, name))
    throw new SettingError(
      `${spec.name}: there is no stem "${name}"; known are: ${Object.keys(stems).join(', ')}`,
      { setting: 'stem', value: name },
    );
  const stem: Stem = stems[name as StemName];
  const width = config.width ?? spec.width ?? 64;
  const { groups = 1, widthPerGroup = 64, grid = 1 } = spec;
  const unit = 64 / greatestCommonDivisor(64, widthPerGroup);
  if (!Number.isInteger(width) || width < 1 || width % unit !== 0)
    throw new UserError(`${spec.name}: the width ${width} should be a positive multiple of ${unit}`);
  const conv = (inputs: number, outputs: number, kernel: number, stride = 1, g = 1): Conv => ({
    inputs,
    outputs,
    kernel,
    stride,
    groups: g,
  });

  const blocks: Block[] = [];
  let channels = width;
  spec.depths.forEach((depth, stage) => {
    const planes = width * 2 ** stage;
    const outputs = spec.block === 'basic' ? planes : 4 * planes;
    const inner = ((planes * widthPerGroup) / 64) * groups;
    for (let b = 0; b < depth; b++) {
      const stride = stage > 0 && b === 0 ? 2 : 1;
      const convs =
        spec.block === 'basic'
          ? [conv(channels, planes, 3, stride), conv(planes, planes, 3)]
          : [conv(channels, inner, 1), conv(inner, inner, 3, stride, groups), conv(inner, outputs, 1)];
      const changes = stride !== 1 || channels !== outputs;
      const block = { name: `layer${stage + 1}.${b}`, convs };
      blocks.push(changes ? { ...block, downsample: conv(channels, outputs, 1, stride) } : block);
      channels = outputs;
    }
  });
  const first = conv(3, width, stem.kernel, stem.stride);
  return { stem, first, blocks, grid, featureDim: channels * grid ** 2 };
}

/** An encoder from the description of an architecture. Its configuration may set `stem` and `width`. */
export function defineResnet(spec: ResnetSpec): ResnetEncoder {
  const own = spec.stem ?? 'imagenet';
  const encoder = defineEncoder<ResnetConfig>({
    name: spec.name,
    traits: { family: 'resnet', stems: [own, ...Object.keys(stems).filter((stem) => stem !== own)] },
    inputShape: ({ imageSize }) => {
      if (!Number.isInteger(imageSize) || imageSize < 1)
        throw new SettingError(`${spec.name}: the image size ${imageSize} should be a positive integer`, {
          setting: 'imageSize',
          value: imageSize,
        });
      return [3, imageSize, imageSize];
    },
    featureDim: (config) => layout(spec, config).featureDim,
    init: (config, random) => init(layout(spec, config), random),
    forward: (context, params, x) => forward(layout(spec, context.config), context, params, x),
    tokens: (context, params, x) => positionsOf(lastMap(layout(spec, context.config), context, params, x)),
  });
  return { ...encoder, spec };
}

/** Kaiming normal by fan-out for convolutions, 1 and 0 for batch normalisation, the last of a block too. */
function init({ first, blocks }: Layout, random: (parameter: string) => Rng): Params {
  const params: Params = {};
  const convBn = (conv: Conv, convName: string, bnName: string) => {
    const shape = [conv.outputs, conv.inputs / conv.groups, conv.kernel, conv.kernel];
    nn.initConv(params, convName, shape, random);
    nn.initBatchNorm(params, bnName, conv.outputs);
  };
  convBn(first, 'conv1', 'bn1');
  for (const { name, convs, downsample } of blocks) {
    convs.forEach((conv, i) => {
      convBn(conv, `${name}.conv${i + 1}`, `${name}.bn${i + 1}`);
    });
    if (downsample) convBn(downsample, `${name}.downsample.0`, `${name}.downsample.1`);
  }
  return params;
}

/** Means of the last map: of all of it, or of the cells of a grid. */
function forward(
  network: Layout,
  context: ForwardContext<ResnetConfig>,
  params: TracedParams,
  x: Traced,
): Traced {
  const map = lastMap(network, context, params, x);
  return network.grid === 1 ? mean(map, [2, 3]) : cells(map, network.grid);
}

/** [N, C, H, W] to [N, H W, C]. */
function positionsOf(map: Traced): Traced {
  const [batch, channels, height, width] = map.shape as [number, number, number, number];
  return transpose(reshape(map, [batch, channels, height * width]), [0, 2, 1]);
}

function lastMap(
  { stem, first, blocks }: Layout,
  context: ForwardContext<ResnetConfig>,
  params: TracedParams,
  x: Traced,
): Traced {
  const convBn = (conv: Conv, convName: string, bnName: string, input: Traced) => {
    const { stride, groups } = conv;
    const padding = (conv.kernel - 1) / 2;
    return nn.batchNorm(
      context,
      params,
      bnName,
      nn.conv(params, convName, input, { stride, padding, groups }),
    );
  };
  let y = relu(convBn(first, 'conv1', 'bn1', x));
  if (stem.pool) y = maxPool2d(y, { kernel: 3, stride: 2, padding: 1 });
  nn.endBlock(context, y);
  for (const { name, convs, downsample } of blocks) {
    const skip = downsample ? convBn(downsample, `${name}.downsample.0`, `${name}.downsample.1`, y) : y;
    convs.forEach((conv, i) => {
      y = convBn(conv, `${name}.conv${i + 1}`, `${name}.bn${i + 1}`, y);
      if (i < convs.length - 1) y = relu(y);
    });
    y = nn.endBlock(context, relu(add(y, skip)));
  }
  return y;
}

/** Means over the cells of a grid, channel by channel and row by row: PyTorch's AdaptiveAvgPool2d, flattened. */
function cells(x: Traced, grid: number): Traced {
  const map = cellsAlong(cellsAlong(x, 2, grid), 3, grid);
  const [batch, ...rest] = map.shape;
  return reshape(map, [batch!, rest.reduce((a, b) => a * b)]);
}

/** Cells of equal extent; where the map can't be cut into such, neighbours share a row or a column. */
function cellsAlong(x: Traced, axis: number, grid: number): Traced {
  const extent = x.shape[axis]!;
  const means = Array.from({ length: grid }, (_, cell) => {
    const start = Math.floor((cell * extent) / grid);
    const size = Math.ceil(((cell + 1) * extent) / grid) - start;
    const starts = x.shape.map((_, i) => (i === axis ? start : 0));
    const sizes = x.shape.map((whole, i) => (i === axis ? size : whole));
    return mean(slice(x, starts, sizes), [axis], true);
  });
  return concat(means, axis);
}
