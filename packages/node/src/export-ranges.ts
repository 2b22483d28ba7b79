/** How large the values within a network get on images: what fewer bits have to hold. */
import { DataError } from '@moco-ts/core';
import { type ImageDataset, loadEval, type SkippedImage } from '@moco-ts/data';
import type { ExportOptions, Range } from '@moco-ts/onnx';
import type { RunConfig } from '@moco-ts/run';
import { openModel } from './onnx-session.ts';

/** Images to calibrate on. */
export interface Calibration {
  readonly dataset: ImageDataset;
  /** Called for each damaged image, which is left out. */
  readonly onSkip: (skipped: SkippedImage) => void;
}

/** Images that tell ranges, evenly spaced. */
const CALIBRATION = 256;
export const BATCH = 32;

/** The ranges of the network's values over images as they are, without augmentation. */
export async function rangesOf(
  common: ExportOptions,
  config: RunConfig,
  calibration: Calibration,
): Promise<Range[]> {
  const { imageSize: size } = config;
  const { calibrationModel } = await import('@moco-ts/onnx');
  const { bytes, count } = calibrationModel(common);
  const model = await openModel(bytes);
  const ranges = Array.from({ length: count }, (): [number, number] => [Infinity, -Infinity]);
  try {
    for await (const { indices, data } of evalBatches(config, calibration, CALIBRATION)) {
      const { outputs } = await model.run('float32', data, [indices.length, 3, size, size]);
      ranges.forEach((range, i) => {
        range[0] = Math.min(range[0], outputs[`least.${i}`]!.data[0]!);
        range[1] = Math.max(range[1], outputs[`most.${i}`]!.data[0]!);
      });
    }
  } finally {
    await model.close();
  }
  return ranges;
}

/** Images as they are, without augmentation, evenly spaced. @throws DataError if none can be read */
export async function* evalBatches(
  { imageSize: size, mean, std, maxBad }: RunConfig,
  { dataset, onSkip }: Calibration,
  most: number,
) {
  const count = Math.min(most, dataset.length);
  const indices = Int32Array.from({ length: count }, (_, i) => Math.floor((i * dataset.length) / count));
  const damage = { onSkip, ...(maxBad !== undefined && { maxBad }) };
  let read = 0;
  for await (const batch of loadEval(dataset, { size, mean, std, indices, batch: BATCH, ...damage })) {
    read += batch.indices.length;
    yield batch;
  }
  if (read === 0) throw new DataError(`${dataset.name}: none of its images could be read`);
}

/**
 * The largest absolute value that a tensor of the network takes.
 * @param images a set, or float32 [N, 3, S, S]
 */
export async function largestValue(
  common: ExportOptions,
  config: RunConfig,
  images: Calibration | Float32Array,
): Promise<number> {
  const { imageSize: size } = config;
  const { magnitudeModel } = await import('@moco-ts/onnx');
  const model = await openModel(magnitudeModel(common));
  let largest = 0;
  const look = async (data: Float32Array) => {
    const { first } = await model.run('float32', data, [data.length / (3 * size * size), 3, size, size]);
    // NaN counts as larger than all values.
    for (const value of first) if (!(value <= largest)) largest = Number.isNaN(value) ? Infinity : value;
  };
  try {
    if (images instanceof Float32Array) await look(images);
    else for await (const { data } of evalBatches(config, images, CALIBRATION)) await look(data);
  } finally {
    await model.close();
  }
  return largest;
}
