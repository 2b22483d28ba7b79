import type { Opened } from '../messages.ts';
import type { PictureInfo, Sheet } from '../sheet.ts';

/** The pictures that are open, and how to show one. */
export interface Gallery {
  readonly name: string;
  readonly pictures: readonly PictureInfo[];
  /** Makes an element of the class `tile` show a picture. */
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
    pictures: sheet.pictures,
    show: (tile, index) => {
      tile.style.backgroundPosition = positionOf(sheet, index);
    },
  };
}

/** Where the sheet must lie for a tile: percentages, whatever the tile's size. */
export function positionOf({ columns, pictures }: Sheet, index: number): string {
  const rows = Math.ceil(pictures.length / columns);
  const share = (at: number, of: number) => (of > 1 ? `${(100 * at) / (of - 1)}%` : '0%');
  return `${share(index % columns, columns)} ${share(Math.floor(index / columns), rows)}`;
}
