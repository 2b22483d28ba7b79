import {
  add,
  defineEncoder,
  type Encoder,
  type EncoderConfig,
  maxPool2d,
  mean,
  nn,
  type Params,
  relu,
} from '@moco-ts/core';

export interface TinyConfig extends EncoderConfig {
  /** Channels of the stem; twice as many behind it. */
  readonly width: number;
}

/** A residual network small enough for the oracle: convolution, normalisation, max-pool and one block of stride 2. */
export const tinyEncoder: Encoder<TinyConfig> = defineEncoder<TinyConfig>({
  name: 'tiny',
  inputShape: ({ imageSize }) => [3, imageSize, imageSize],
  featureDim: ({ width }) => 2 * width,
  init: ({ width }, random) => {
    const params: Params = {};
    nn.initConv(params, 'conv1', [width, 3, 3, 3], random);
    nn.initBatchNorm(params, 'bn1', width);
    nn.initConv(params, 'conv2', [2 * width, width, 3, 3], random);
    nn.initBatchNorm(params, 'bn2', 2 * width);
    nn.initConv(params, 'skip', [2 * width, width, 1, 1], random);
    return params;
  },
  forward: (context, params, x) => {
    const stem = nn.batchNorm(context, params, 'bn1', nn.conv(params, 'conv1', x, { padding: 1 }));
    const pooled = nn.endBlock(context, maxPool2d(relu(stem), { kernel: 3, stride: 2, padding: 1 }));
    const inner = nn.conv(params, 'conv2', pooled, { stride: 2, padding: 1 });
    const skip = nn.conv(params, 'skip', pooled, { stride: 2 });
    const y = relu(add(nn.batchNorm(context, params, 'bn2', inner), skip));
    return nn.endBlock(context, mean(nn.endBlock(context, y), [2, 3]));
  },
});
