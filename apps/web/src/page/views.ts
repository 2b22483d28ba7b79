import type { Pixels, Stepped } from '../messages.ts';
import { byId } from './dom.ts';
import type { Gallery } from './sheet.ts';

export function showViews(gallery: Gallery, { picture, query, key }: NonNullable<Stepped['views']>): void {
  const { name } = gallery.pictures[picture]!;
  const tile = byId('view-picture');
  gallery.show(tile, picture);
  tile.setAttribute('aria-label', name);
  draw(byId<HTMLCanvasElement>('view-query'), query, `Query view of ${name}`);
  draw(byId<HTMLCanvasElement>('view-key'), key, `Key view of ${name}`);
}

function draw(canvas: HTMLCanvasElement, { size, data }: Pixels, label: string): void {
  canvas.width = size;
  canvas.height = size;
  canvas.getContext('2d')!.putImageData(new ImageData(data, size, size), 0, 0);
  canvas.setAttribute('aria-label', label);
}
