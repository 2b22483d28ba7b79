import sharp from 'sharp';
import type { RgbImage } from './dataset.ts';

/** An image as a PNG. */
export async function encodePng({ width, height, data }: RgbImage): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

/** Planes `[3, size, size]` as an encoder sees them, back as bytes: the inverse of normalising, clamped. */
export function imageOf(
  planes: Float32Array,
  {
    size,
    mean,
    std,
  }: { readonly size: number; readonly mean: readonly number[]; readonly std: readonly number[] },
): RgbImage {
  const pixels = size * size;
  const data = new Uint8Array(3 * pixels);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < pixels; i++) {
      const value = 255 * (planes[c * pixels + i]! * std[c]! + mean[c]!);
      data[3 * i + c] = Math.min(255, Math.max(0, Math.round(value)));
    }
  return { width: size, height: size, data };
}
