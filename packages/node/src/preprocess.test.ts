/** The exported preprocessing against the trainer's own evaluation input, on images of awkward shapes. */
import { loadRuntime } from '@moco-ts/backend-ort';
import { defineEncoder, reshape, rng } from '@moco-ts/core';
import { applyEvalTransform, clearSide } from '@moco-ts/data';
import { exportEncoder } from '@moco-ts/onnx';
import { describe, expect, it } from 'vitest';

const ort = await loadRuntime();

/** Its features are its input. */
const identity = defineEncoder({
  name: 'identity',
  inputShape: ({ imageSize }) => [3, imageSize, imageSize],
  featureDim: ({ imageSize }) => 3 * imageSize * imageSize,
  init: () => ({}),
  forward: (_, __, x) => reshape(x, [x.shape[0]!, 3 * x.shape[2]! * x.shape[3]!]),
});

// Not shifted, not scaled: results are levels of 0 to 255, divided by 255.
const mean = [0, 0, 0];
const std = [1, 1, 1];

describe('preprocessing in the graph', () => {
  it.each([
    [224, 375, 500],
    [224, 501, 300],
    [224, 260, 260],
    [112, 113, 340],
    [32, 64, 64],
    [32, 67, 41],
    [32, 20, 29],
  ])('%i px from %i x %i', async (size, height, width) => {
    const shorterSide = clearSide({ width: 1, height: 2 }, size);
    const model = { encoder: identity, encoderConfig: { imageSize: size } };
    const bytes = exportEncoder({ model, params: {}, preprocess: { size, shorterSide, mean, std } });
    const random = rng(0, 'test', height, width);
    // Smooth in both directions, so that a crop that is off by a pixel shows, with some noise.
    const data = Uint8Array.from({ length: height * width * 3 }, (_, at) => {
      const [row, column] = [Math.floor(at / 3 / width), Math.floor(at / 3) % width];
      return 100 + 80 * Math.sin(row / 7) * Math.cos(column / 5) + 20 * random.uniform();
    });
    const expected = applyEvalTransform({ width, height, data }, { size, mean, std });
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
    const images = new ort.Tensor('uint8', data, [1, height, width, 3]);
    const features = (await session.run({ images })).features!.data as Float32Array;
    await session.release();
    const levels = features.map((value, i) => Math.abs(value - expected[i]!) * 255);
    const average = levels.reduce((sum, level) => sum + level, 0) / levels.length;
    // One value in twenty is tipped to the next whole one; on the first and last row, where the two libraries weigh what
    // lies outside differently, a few are two off. A crop that is one pixel off averages more than 5.
    expect(levels.reduce((most, level) => Math.max(most, level), 0)).toBeLessThan(2.1);
    expect(average).toBeLessThan(0.1);
  });
});
