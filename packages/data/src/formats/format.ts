/** What a file is, by its first bytes: names lie, and what opens a file by its content must be chosen by us. */

/** Formats that are read. */
export type Format = 'jpeg' | 'png' | 'gif' | 'webp' | 'tiff' | 'avif' | 'heic' | 'bmp' | 'pnm';

export interface Size {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
}

/** Bytes of a file's beginning that {@link formatOf} and {@link refusedFormat} look at. */
export const HEAD = 4096;

const latin = (bytes: Uint8Array, from: number, to: number) =>
  String.fromCharCode(...bytes.subarray(from, to));
const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  new DataView(buffer, byteOffset, byteLength);

const HEVC_BRANDS = /^(heic|heix|heim|heis|hevc|hevx|hevm|hevs)$/;

/** @returns undefined for what is not read; {@link refusedFormat} may name it */
export function formatOf(bytes: Uint8Array): Format | undefined {
  const start = latin(bytes, 0, 12);
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (/^GIF8[79]a/.test(start)) return 'gif';
  if (start.startsWith('RIFF') && start.endsWith('WEBP')) return 'webp';
  if (/^(II[*+]\0|MM\0[*+])/.test(start)) return 'tiff';
  if (start.startsWith('BM')) return 'bmp';
  if (/^P[1-6][\s#]/.test(start)) return 'pnm';
  if (start.slice(4, 8) === 'ftyp') {
    const brands = brandsOf(bytes);
    if (brands.some((brand) => HEVC_BRANDS.test(brand))) return 'heic';
    if (brands.some((brand) => brand === 'avif' || brand === 'avis')) return 'avif';
  }
  return undefined;
}

/** The brands of an ISO base media file: the major one, then those that it is compatible with. */
function brandsOf(bytes: Uint8Array): string[] {
  const length = Math.min(viewOf(bytes).getUint32(0), bytes.length, 256);
  const brands = [latin(bytes, 8, 12)];
  for (let at = 16; at + 4 <= length; at += 4) brands.push(latin(bytes, at, at + 4));
  return brands;
}

const REFUSED: readonly [RegExp, string][] = [
  [/^%PDF/, 'PDF'],
  [/^(\0\0\0\x0cjP {2}|\xff\x4f\xff\x51)/, 'JPEG 2000'],
  [/^(\xff\x0a|\0\0\0\x0cJXL )/, 'JPEG XL'],
  [/^8BPS/, 'Photoshop'],
  [/^gimp xcf/, 'XCF'],
  [/^\x76\x2f\x31\x01/, 'OpenEXR'],
  [/^#\?(RADIANCE|RGBE)/, 'Radiance HDR'],
  [/^SIMPLE {2}=/, 'FITS'],
  [/^DDS /, 'DDS'],
  [/^P[Ff7]\s/, 'a float or PAM image'],
  [/^\x1f\x8b/, 'gzip'],
  [/^(\xef\xbb\xbf)?\s*<[\s\S]*<svg[\s>]|^(\xef\xbb\xbf)?\s*<svg[\s>]/, 'SVG'],
  [/^(\xef\xbb\xbf)?\s*<(!doctype )?html/i, 'HTML'],
];

/** The name of a known format that is not read. */
export function refusedFormat(bytes: Uint8Array): string | undefined {
  let head = '';
  for (let at = 0; at < Math.min(bytes.length, HEAD); at += 1024) head += latin(bytes, at, at + 1024);
  return REFUSED.find(([pattern]) => pattern.test(head))?.[1];
}

/** Width and height by the header, before anything is decoded; undefined where it does not say so plainly. */
export function sizeOf(bytes: Uint8Array, format: Format): Size | undefined {
  const view = viewOf(bytes);
  try {
    if (format === 'png') return { width: view.getUint32(16), height: view.getUint32(20) };
    if (format === 'gif') return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    if (format === 'webp') return webpSize(bytes, view);
    if (format === 'jpeg') return jpegSize(view);
  } catch (error) {
    // The header is cut off: the decoder tells.
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

function webpSize(bytes: Uint8Array, view: DataView): Size | undefined {
  const chunk = latin(bytes, 12, 16);
  const u24 = (at: number) => view.getUint16(at, true) + 65_536 * view.getUint8(at + 2);
  if (chunk === 'VP8X') return { width: 1 + u24(24), height: 1 + u24(27) };
  if (chunk === 'VP8 ')
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  if (chunk !== 'VP8L') return undefined;
  const bits = view.getUint32(21, true);
  return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
}

/** From the first start of a frame (SOF), whichever coding it has. */
function jpegSize(view: DataView): Size | undefined {
  for (let at = 2; ; ) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) at++;
    else if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else at += 2 + view.getUint16(at + 2);
  }
}
