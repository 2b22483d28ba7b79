/**
 * An encoder as a package: a small ConvMixer (Trockman and Kolter, arXiv 2201.09792). Patches become channels; each block
 * mixes places by a depthwise convolution around a residual connection, then channels by a 1x1 convolution.
 */
import { add, defineEncoder, gelu, mean, nn, UserError } from '@moco-ts/core';

const [WIDTH, DEPTH, KERNEL, PATCH] = [64, 3, 5, 4];

const blocks = Array.from({ length: DEPTH }, (_, i) => `blocks.${i}`);

export const mixer = defineEncoder({
  name: 'mixer',
  inputShape: ({ imageSize }) => {
    if (imageSize % PATCH !== 0)
      throw new UserError(
        `mixer: an image size of ${imageSize} should be a multiple of its patches' ${PATCH} pixels`,
      );
    return [3, imageSize, imageSize];
  },
  featureDim: () => WIDTH,
  init: (_, random) => {
    const params = {};
    nn.initConv(params, 'patches', [WIDTH, 3, PATCH, PATCH], random);
    nn.initBatchNorm(params, 'norm', WIDTH);
    for (const name of blocks) {
      nn.initConv(params, `${name}.places`, [WIDTH, 1, KERNEL, KERNEL], random);
      nn.initBatchNorm(params, `${name}.norm1`, WIDTH);
      nn.initConv(params, `${name}.channels`, [WIDTH, WIDTH, 1, 1], random);
      nn.initBatchNorm(params, `${name}.norm2`, WIDTH);
    }
    return params;
  },
  forward: (context, params, image) => {
    const layer = (conv, norm, x, options) =>
      nn.batchNorm(context, params, norm, gelu(nn.conv(params, conv, x, options)));
    const around = { padding: (KERNEL - 1) / 2, groups: WIDTH };
    let x = nn.endBlock(context, layer('patches', 'norm', image, { stride: PATCH }));
    for (const name of blocks) {
      x = add(x, layer(`${name}.places`, `${name}.norm1`, x, around));
      x = nn.endBlock(context, layer(`${name}.channels`, `${name}.norm2`, x));
    }
    return mean(x, [2, 3]);
  },
});
