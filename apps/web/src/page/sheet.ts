import type { Opened } from '../messages.ts';
import type { ImageInfo, Sheet } from '../sheet.ts';

/** The images that are open, and how to show one. */
export interface Gallery {
  readonly name: string;
  readonly images: readonly ImageInfo[];
  /** Makes an element of the class `tile` show an image. */
  show(tile: HTMLElement, index: number): void;
}

let address: string | undefined;

export function openGallery({ name, sheet, image }: Pick<Opened, 'name' | 'sheet' | 'image'>): Gallery {
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(image);
  const { style } = document.documentElement;
  style.setProperty('--sheet', `url(${address})`);
  style.setProperty('--columns', String(sheet.columns));
  return {
    name,
    images: sheet.images,
    show: (tile, index) => {
      tile.style.backgroundPosition = positionOf(sheet, index);
    },
  };
}

/** Where the sheet must lie for a tile: percentages, whatever the tile's size. */
export function positionOf({ columns, images }: Sheet, index: number): string {
  const rows = Math.ceil(images.length / columns);
  const share = (at: number, of: number) => (of > 1 ? `${(100 * at) / (of - 1)}%` : '0%');
  return `${share(index % columns, columns)} ${share(Math.floor(index / columns), rows)}`;
}
