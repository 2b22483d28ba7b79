/**
 * HEIC and HEIF, by a package that the user installs: its decoder is LGPL, so that MoCo.ts neither ships it nor depends on it.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { DataError } from '@moco-ts/core';
import type { RgbImage } from '../dataset.ts';
import type { Size } from './format.ts';
import { onWhite } from './rgb.ts';

const PACKAGE = 'heic-decode';
/** Names of files that are images where the package is installed. */
export const HEIC_EXTENSIONS = ['heic', 'heif', 'hif'] as const;
/** What to tell who has such files. */
export const HEIC_HINT = `npm install ${PACKAGE}`;

/** The package's own form, as far as it is used. */
interface HeicImage {
  readonly width: number;
  readonly height: number;
  decode(): Promise<{ readonly data: Uint8ClampedArray }>;
}
interface HeicPackage {
  all(input: { buffer: Uint8Array }): Promise<HeicImage[] & { dispose?(): void }>;
}

let packagePath: string | null | undefined;

/**
 * Where the package is: beside MoCo.ts, as npm puts both into one project. The current folder is not searched: code in it must
 * not run because a command was started there.
 */
function locate(): string | undefined {
  if (packagePath === undefined) {
    try {
      packagePath = createRequire(import.meta.url).resolve(PACKAGE);
    } catch {
      packagePath = null;
    }
  }
  return packagePath ?? undefined;
}

export const readsHeic = () => locate() !== undefined;

/**
 * Upright, since the file's own turns are part of decoding.
 * @param check is called with the size before pixels are made, and may throw
 * @throws DataError for what is damaged, or where no package reads it
 */
export async function decodeHeic(bytes: Uint8Array, check: (size: Size) => void): Promise<RgbImage> {
  const path = locate();
  if (path === undefined)
    throw new DataError(`HEIC is read by a package of its own: ${HEIC_HINT}`, { code: 'package-missing' });
  const loaded = (await import(pathToFileURL(path).href)) as { default: HeicPackage };
  const images = await loaded.default.all({ buffer: bytes });
  try {
    const [first] = images;
    if (first === undefined) throw new DataError('it holds no image');
    const { width, height } = first;
    check({ width, height });
    const { data } = await first.decode();
    return { width, height, data: onWhite(data, 4) };
  } finally {
    images.dispose?.();
  }
}
