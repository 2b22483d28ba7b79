/** Many small images as a few large ones. */
import { createGate, type ImageDataset, ifDamaged } from '@moco-ts/data';
import sharp from 'sharp';

export interface Sheets {
  /** WebP, as data: URLs. */
  readonly urls: readonly string[];
  /** Pixels of an image's side. */
  readonly cell: number;
  /** Images beside each other in a sheet, which is square. */
  readonly columns: number;
}

const sheetPixels = 1024;
/** Decodes in flight: each may hold a whole image. */
const DECODES = 4;

/**
 * Images scaled into squares, whole, on nothing.
 * @param rows numbers of the data set; -1 leaves a square empty
 * @param cell pixels of a square
 */
export async function thumbnails(
  dataset: ImageDataset,
  rows: readonly number[],
  cell: number,
  onProgress: (done: number) => void = () => {},
): Promise<Sheets> {
  const columns = Math.max(1, Math.floor(sheetPixels / cell));
  const side = columns * cell;
  const urls: string[] = [];
  for (let at = 0; at < rows.length; at += columns * columns) {
    const part = rows.slice(at, at + columns * columns);
    const few = createGate(DECODES);
    const cells = await Promise.all(
      part.map((row) => (row < 0 ? undefined : few.run(1, () => thumbnail(dataset, row, cell)))),
    );
    const sheet = Buffer.alloc(side * side * 4);
    cells.forEach((pixels, i) => {
      if (!pixels) return;
      const corner = (Math.floor(i / columns) * cell * side + (i % columns) * cell) * 4;
      for (let y = 0; y < cell; y++)
        sheet.set(pixels.subarray(y * cell * 4, (y + 1) * cell * 4), corner + y * side * 4);
    });
    const used = Math.ceil(part.length / columns) * cell;
    const webp = await sharp(sheet, { raw: { width: side, height: side, channels: 4 } })
      .extract({ left: 0, top: 0, width: side, height: used })
      .webp({ quality: 82 })
      .toBuffer();
    urls.push(`data:image/webp;base64,${webp.toString('base64')}`);
    onProgress(Math.min(rows.length, at + part.length));
  }
  return { urls, cell, columns };
}

async function thumbnail(dataset: ImageDataset, row: number, cell: number): Promise<Uint8Array | undefined> {
  const image = await dataset.decode(row, { within: cell }).catch(ifDamaged);
  if (!image) return undefined;
  const { width, height, data } = image;
  return sharp(data, { raw: { width, height, channels: 3 } })
    .ensureAlpha()
    .resize(cell, cell, { fit: 'contain', background: { r: 0, g: 0, b: 0, alpha: 0 } })
    .raw()
    .toBuffer();
}
