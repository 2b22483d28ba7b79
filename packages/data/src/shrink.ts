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
 * @param name a path with `/`, as {@link pathOf} takes it
 * @throws DataError, MachineError as `decodeFile` does
 */
export function shrinkFile(root: string, name: string, size: number): Promise<Uint8Array> {
  const [, format] = formOf(name);
  return withFile(pathOf(root, name), async (plan, input) => {
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
