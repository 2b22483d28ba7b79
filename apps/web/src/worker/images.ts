/** Images as the training takes them, and a sheet of small ones for the page. */
import { rng, UserError } from '@moco-ts/core';
import type { RgbImage } from '@moco-ts/data/portable';
import type { ImageInfo, Sheet, Source } from '../messages.ts';

export interface ImageSet {
  readonly name: string;
  readonly images: readonly RgbImage[];
  readonly sheet: Sheet;
  readonly image: Blob;
  readonly skipped: readonly string[];
  readonly left: number;
}

/** What a tab holds with ease. */
const MOST = 2000;
/** The shorter side of what is kept of a large image, in pixels: views are 32. */
const KEPT = 128;
/** Side of a tile of the sheet. */
const CELL = 64;
const NAMES = /\.(png|jpe?g|webp|gif|avif|bmp)$/i;

/** @throws UserError for a folder without images */
export function openImages(source: Source): Promise<ImageSet> {
  return source.kind === 'emoji'
    ? openSheet(source.image, source.list)
    : openFolder(source.name, source.files, source.seed);
}

async function openSheet(imageAt: string, listAt: string): Promise<ImageSet> {
  const [image, sheet] = await Promise.all([
    load(imageAt).then((response) => response.blob()),
    load(listAt).then((response) => response.json() as Promise<Sheet>),
  ]);
  const bitmap = await createImageBitmap(image);
  const canvas = canvasOf(bitmap.width, bitmap.height);
  canvas.drawImage(bitmap, 0, 0);
  const { cell, columns, images } = sheet;
  const cut = images.map((_, i) =>
    rgbOf(canvas, (i % columns) * cell, Math.floor(i / columns) * cell, cell, cell),
  );
  return { name: 'emoji', images: cut, sheet, image, skipped: [], left: 0 };
}

async function load(address: string): Promise<Response> {
  const response = await fetch(address).catch(() => undefined);
  if (!response?.ok)
    throw new UserError(
      `${address} could not be loaded${response ? ` (${response.status})` : ''}: reload the page, or choose a folder of yours`,
    );
  return response;
}

async function openFolder(name: string, files: readonly File[], seed: number): Promise<ImageSet> {
  // By path, so that the order does not depend on the file system.
  const named = files
    .filter((file) => NAMES.test(file.name) && !file.name.startsWith('.'))
    // As in `moco`: relative to the folder.
    .map((file) => ({ file, id: file.webkitRelativePath.split('/').slice(1).join('/') || file.name }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  if (named.length === 0)
    throw new UserError(`${name} holds no images (png, jpg, webp, gif, avif or bmp): choose another folder`);
  const taken = drawn(named, MOST, seed);
  const columns = Math.ceil(Math.sqrt(taken.length));
  const tiles = canvasOf(columns * CELL, Math.ceil(taken.length / columns) * CELL);
  const images: RgbImage[] = [];
  const infos: ImageInfo[] = [];
  const skipped: string[] = [];
  for (const { file, id } of taken) {
    const bitmap = await createImageBitmap(file).catch(() => undefined);
    if (bitmap === undefined) {
      skipped.push(id);
      continue;
    }
    drawTile(tiles, bitmap, images.length, columns);
    images.push(shrunk(bitmap));
    infos.push({ id, name: file.name });
    bitmap.close();
  }
  if (images.length === 0) throw new UserError(`none of the ${skipped.length} images in ${name} can be read`);
  const image = await tiles.canvas.convertToBlob();
  const sheet = { columns, cell: CELL, images: infos };
  return { name, images, sheet, image, skipped, left: named.length - taken.length };
}

/** Some of a list in its order, by chance: the first ones would leave out whole folders. */
export function drawn<T>(list: readonly T[], most: number, seed: number): readonly T[] {
  if (list.length <= most) return list;
  const chosen = rng(seed, 'page/pictures').permutation(list.length).subarray(0, most).sort();
  return Array.from(chosen, (at) => list[at]!);
}

function canvasOf(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true })!;
  // What is transparent becomes white, as in `moco`.
  context.fillStyle = 'white';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = 'high';
  return context;
}

/** The centre of an image as a tile. */
function drawTile(
  tiles: OffscreenCanvasRenderingContext2D,
  bitmap: ImageBitmap,
  at: number,
  columns: number,
) {
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  const [x, y] = [(at % columns) * CELL, Math.floor(at / columns) * CELL];
  tiles.drawImage(bitmap, left, top, side, side, x, y, CELL, CELL);
}

function shrunk(bitmap: ImageBitmap): RgbImage {
  const scale = Math.min(1, KEPT / Math.min(bitmap.width, bitmap.height));
  const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
  const canvas = canvasOf(width, height);
  canvas.drawImage(bitmap, 0, 0, width, height);
  return rgbOf(canvas, 0, 0, width, height);
}

function rgbOf(
  canvas: OffscreenCanvasRenderingContext2D,
  x: number,
  y: number,
  width: number,
  height: number,
): RgbImage {
  const rgba = canvas.getImageData(x, y, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, to = 0; i < rgba.length; i += 4) {
    data[to++] = rgba[i]!;
    data[to++] = rgba[i + 1]!;
    data[to++] = rgba[i + 2]!;
  }
  return { width, height, data };
}
