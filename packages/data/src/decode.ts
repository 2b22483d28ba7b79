import { DataError, printable, UserError } from '@moco-ts/core';
import sharp from 'sharp';
import type { DecodeOptions, RawImages, RgbImage, SharedImages } from './dataset.ts';
import { nameOfBytes, pathOf } from './datasets/names.ts';
import { bmpSize, decodeBmp } from './formats/bmp.ts';
import { type Format, formatOf, refusedFormat, type Size, sizeOf } from './formats/format.ts';
import { decodeHeic, HEIC_EXTENSIONS, readsHeic } from './formats/heic.ts';
import { decodePnm, pnmSize } from './formats/pnm.ts';
import { onWhite } from './formats/rgb.ts';
import { tiffTraits } from './formats/tiff.ts';
import { createGate } from './gate.ts';
import { type Input, inputOf, openInput } from './input.ts';
import { MachineError } from './machine.ts';

// The pool runs images side by side; threads inside one small decode only cost.
sharp.concurrency(1);
// Each image is opened once per epoch: libvips' cache of open files would only hold memory.
sharp.cache(false);

/** File name extensions that are taken for images; {@link HEIC_EXTENSIONS} with them where their package is installed. */
export const EXTENSIONS = [
  ...['png', 'jpg', 'jpeg', 'jpe', 'jfif', 'webp', 'gif', 'avif', 'tif', 'tiff'],
  ...['bmp', 'ppm', 'pgm', 'pbm', 'pnm'],
] as const;

/**
 * Larger images are refused: as bytes they would fill the memory. 67 million pixels, above what cameras of phones give but for
 * their largest mode.
 */
export const MOST_PIXELS = 2 ** 26;
/** Pixels that a thread decodes at a time, all images together: four of a camera's 24 million. */
const decodes = createGate(1.5 * MOST_PIXELS);
/** Nothing that is an image takes so long. */
const SECONDS = 60;

const endsIn = (extensions: readonly string[]) => new RegExp(`\\.(${extensions.join('|')})$`, 'i');
const PATTERN = endsIn(EXTENSIONS);
const HEIC_PATTERN = endsIn(HEIC_EXTENSIONS);

export function isImageName(name: string): boolean {
  return !name.startsWith('.') && (PATTERN.test(name) || (HEIC_PATTERN.test(name) && readsHeic()));
}

/**
 * Decodes one file: upright by its EXIF tag, converted to sRGB, transparency composited on white, 8 bit. Of an animation or
 * a file of pages, the first. What it is goes by its content, not its name.
 * @param path text, or bytes where it is not UTF-8
 * @throws DataError if the file is missing, damaged or no image of 1 or 3 bands of 8 or 16 bits; MachineError where the
 * machine refuses to read it
 */
export function decodeFile(path: string | Buffer, options: DecodeOptions = {}): Promise<RgbImage> {
  return withFile(path, (plan, input) => decodeAs(plan, input, options));
}

/** Acts on an opened file of a known format, when its pixels fit beside those in flight. @throws as {@link decodeFile} */
export async function withFile<T>(
  path: string | Buffer,
  act: (plan: Plan, input: Input) => Promise<T>,
): Promise<T> {
  const name = shown(typeof path === 'string' ? path : nameOfBytes(path));
  return withInput(await openInput(path, name), name, act);
}

/**
 * The same for the bytes of a file.
 * @param name for the message
 * @throws DataError as {@link decodeFile}
 */
export async function decodeBytes(bytes: Uint8Array, name = 'the image'): Promise<RgbImage> {
  return withInput(inputOf(bytes), shown(name), (plan, input) => decodeAs(plan, input, {}));
}

/** File names may hold anything; messages print them in full. */
const shown = (text: string) => printable(text, Number.POSITIVE_INFINITY);

async function withInput<T>(
  input: Input,
  name: string,
  act: (plan: Plan, input: Input) => Promise<T>,
): Promise<T> {
  try {
    const plan = await planOf(input);
    const pixels = plan.size ? plan.size.width * plan.size.height : MOST_PIXELS;
    checkPixels(pixels);
    return await decodes.run(pixels, () => act(plan, input));
  } catch (error) {
    if (error instanceof TooLarge)
      throw new DataError(
        `${name}: more than ${Math.floor(MOST_PIXELS / 1e6)} million pixels: make it smaller`,
      );
    if (error instanceof UserError && !(error instanceof DataError)) throw error;
    const reason = (error instanceof Error ? error.message : String(error)).trim();
    if (OUT_OF_MEMORY.test(reason))
      throw new MachineError(`${name}: out of memory; give fewer workers or smaller images`);
    throw new DataError(`${name}: not a readable image (${shown(withoutRepeats(reason))})`);
  }
}

/** What libvips tells, once: it gathers the warnings of all that it decodes at one time. */
export function withoutRepeats(reason: string): string {
  const lines = reason.split(/\n|; (?=Vips)/);
  return lines.filter((line, i) => !lines.slice(0, i).some((before) => before.includes(line))).join('; ');
}

class TooLarge extends Error {}

function checkPixels(pixels: number): void {
  if (pixels > MOST_PIXELS) throw new TooLarge();
}

/** libvips, and GLib below it, have no codes. */
const OUT_OF_MEMORY = /out of memory|unable to allocate|cannot allocate|too many open files/i;

/** What a file is. */
export interface Plan {
  readonly format: Format;
  /** Undefined where only decoding tells. */
  readonly size?: Size | undefined;
  /** A band that is not said to be alpha, and left out. */
  readonly unnamedBand?: boolean;
}

/** What the file is, by its content: libvips would open drawings and documents too. @throws DataError with a reason alone */
async function planOf(input: Input): Promise<Plan> {
  const { head } = input;
  const format = formatOf(head);
  if (format === undefined) {
    const known = refusedFormat(head);
    throw new DataError(known ? `${known}, which is not read; save it as PNG or JPEG` : 'of no known format');
  }
  if (format === 'heic') return { format };
  if (format === 'bmp') return { format, size: bmpSize(head) };
  if (format === 'pnm') return { format, size: pnmSize(head) };
  if (format === 'tiff') {
    const traits = await tiffTraits(input.read);
    if (traits?.refused !== undefined) throw new DataError(traits.refused);
    if (traits !== undefined) return { format, size: traits, unnamedBand: traits.unnamedBand };
  }
  return { format, size: sizeOf(head, format) ?? (await sizeBySharp(input)) };
}

const sharpOptions = { failOn: 'error', limitInputPixels: false } as const;

async function sizeBySharp({ source }: Input): Promise<Size> {
  const { width, height } = await sharp(source, sharpOptions).metadata();
  return { width, height };
}

/** The image in its own orientation, as sharp reads it. */
export const openSharp = ({ source }: Input) =>
  sharp(source, { failOn: 'error', limitInputPixels: MOST_PIXELS }).timeout({ seconds: SECONDS }).rotate();

/** Formats that sharp does not read. */
export const isOwnFormat = (format: Format): boolean => ['bmp', 'pnm', 'heic'].includes(format);

export async function decodeAs(
  { format, unnamedBand }: Plan,
  input: Input,
  { within }: DecodeOptions,
): Promise<RgbImage> {
  const { readAll } = input;
  if (format === 'bmp') return decodeBmp(await readAll());
  if (format === 'pnm') return decodePnm(await readAll());
  if (format === 'heic')
    return decodeHeic(await readAll(), ({ width, height }) => checkPixels(width * height));
  const image = openSharp(input);
  if (unnamedBand) image.removeAlpha();
  // Resizing would take the band for alpha.
  else if (within !== undefined) image.resize(within, within, { fit: 'inside', withoutEnlargement: true });
  const { data, info } = await image
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    width: info.width,
    height: info.height,
    data: onWhite(bytes, info.channels),
    ...(unnamedBand && { note: 'a band that is not said to be alpha is left out' }),
  };
}

/** The image at `index` of an uncompressed set, as interleaved RGB. */
export function decodeRaw(raw: RawImages, index: number): RgbImage {
  const { width, height, channels } = raw;
  const plane = width * height;
  const from = new Uint8Array(raw.bytes, index * plane * channels, plane * channels);
  const data = new Uint8Array(plane * 3);
  const green = channels === 3 ? plane : 0;
  for (let i = 0; i < plane; i++) {
    data[i * 3] = from[i]!;
    data[i * 3 + 1] = from[i + green]!;
    data[i * 3 + 2] = from[i + 2 * green]!;
  }
  return { width, height, data };
}

/** A decoder for images that another thread has opened. */
export function decoderOf(
  shared: Exclude<SharedImages, { kind: 'here' }>,
): (index: number) => Promise<RgbImage> {
  if (shared.kind === 'raw') return async (index) => decodeRaw(shared, index);
  return (index) => decodeFile(pathOf(shared.root, shared.paths[index]!));
}
