/** Smaller copies of image files, which decode quickly and look the same to training. */
import sharp from 'sharp';
import type { RgbImage } from './dataset.ts';
import { pathOf } from './datasets/names.ts';
import { decodeAs, isOwnFormat, openSharp, withFile } from './decode.ts';

/** What copies are written as, and how. Of JPEG and WebP: what this quality loses is less than what views change. */
const written = {
  jpeg: { quality: 95, chromaSubsampling: '4:4:4' },
  png: {},
  webp: { quality: 95 },
  tiff: { compression: 'deflate' },
} as const;

/** By a name's extension: what a copy is written as, and what is appended to its name where that is another format. */
const forms: readonly (readonly [RegExp, keyof typeof written, string])[] = [
  [/\.(jpe?g|jpe|jfif)$/i, 'jpeg', ''],
  [/\.png$/i, 'png', ''],
  [/\.webp$/i, 'webp', ''],
  [/\.tiff?$/i, 'tiff', ''],
  [/\.(gif|bmp|p[pgbn]m)$/i, 'png', '.png'],
  [/./, 'jpeg', '.jpg'],
];

const formOf = (name: string) => forms.find(([pattern]) => pattern.test(name))!;

/**
 * The names of copies, as ids: those of the images, with an extension behind what can't be written by its own (`a.heic.jpg`).
 * They sort as the images do, so that an image's number is its copy's.
 * @param ids in order
 */
export function copyNames(ids: readonly string[]): string[] {
  return ids.map((id, i) => {
    const longer = id + formOf(id)[2];
    const next = ids[i + 1];
    // `a.bmp.png` may be there, or sort behind `a.bmp-2.png`: then the content alone tells what the copy is.
    return next === undefined || longer < next ? longer : id;
  });
}

/**
 * An image file again: upright, in sRGB and 8 bits, its shorter side at most `size` pixels, without any metadata. It is of the
 * format that its name says, where that can be written; JPEG and TIFF have no transparency, in place of which they are white.
 * A JPEG that is so already stays as it is, byte for byte.
 * @param name a path with `/`, as {@link pathOf} takes it
 * @throws DataError, MachineError as `decodeFile` does
 */
export function shrinkFile(root: string, name: string, size: number): Promise<Uint8Array> {
  const [, format] = formOf(name);
  return withFile(pathOf(root, name), async (plan, input) => {
    const { width, height } = plan.size ?? { width: size + 1, height: size + 1 };
    if (format === 'jpeg' && plan.format === 'jpeg' && Math.min(width, height) <= size) {
      const bytes = await input.readAll();
      // Decoded all the same, since a damaged one has no copy.
      if (isBare(bytes)) return decodeAs(plan, input, {}).then(() => bytes);
    }
    const opened = isOwnFormat(plan.format) || plan.unnamedBand === true;
    const image = opened ? ofPixels(await decodeAs(plan, input, {})) : openSharp(input);
    image
      .resize(size, size, { fit: 'outside', withoutEnlargement: true })
      .toColourspace('srgb')
      .toFormat(format, written[format]);
    if (format === 'jpeg' || format === 'tiff') image.flatten({ background: '#fff' });
    return image.toBuffer();
  });
}

const ofPixels = ({ width, height, data }: RgbImage) => sharp(data, { raw: { width, height, channels: 3 } });

/** Of a JPEG (ITU T.81, table B.1): tables, frames of one scan or progressive ones, the restart interval. */
const IMAGE_MARKERS: ReadonlySet<number> = new Set([0xdb, 0xc0, 0xc1, 0xc2, 0xc4, 0xdd]);
const FRAMES: ReadonlySet<number> = new Set([0xc0, 0xc1, 0xc2]);
/** Bytes of JFIF's header where it has no thumbnail. */
const JFIF_LENGTH = 16;

/** Whether a JPEG holds its image, in grey or YCbCr, and nothing else: no comment, no thumbnail, nothing of a camera, nothing behind it. */
function isBare(bytes: Uint8Array): boolean {
  let at = 2;
  while (bytes[at + 1] !== 0xda) {
    const [prefix, marker = 0] = bytes.subarray(at, at + 2);
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const isHeader = marker === 0xe0 && length === JFIF_LENGTH;
    if (prefix !== 0xff || !(isHeader || IMAGE_MARKERS.has(marker))) return false;
    if (FRAMES.has(marker) && ![1, 3].includes(bytes[at + 9]!)) return false;
    at += 2 + length;
  }
  // In a scan 0xff has a zero or a restart behind it; another scan may follow.
  const goesOn = (next: number) =>
    next === 0 || (next >= 0xd0 && next <= 0xd7) || next === 0xda || next === 0xc4;
  const end = bytes.length - 2;
  for (at += 2; at < end; at++) if (bytes[at] === 0xff && !goesOn(bytes[at + 1]!)) return false;
  return bytes[end] === 0xff && bytes[end + 1] === 0xd9;
}
