import type { Pixels, Stepped } from '../messages.ts';
import { byId } from './dom.ts';
import type { Gallery } from './sheet.ts';

export function showViews(gallery: Gallery, { image, query, key }: NonNullable<Stepped['views']>): void {
  const { name } = gallery.images[image]!;
  const tile = byId('view-image');
  gallery.show(tile, image);
  tile.setAttribute('aria-label', name);
  draw(byId<HTMLCanvasElement>('view-query'), query, `Query view of ${name}`);
  draw(byId<HTMLCanvasElement>('view-key'), key, `Key view of ${name}`);
}

export function clearViews(): void {
  const tile = byId('view-image');
  tile.removeAttribute('style');
  tile.setAttribute('aria-label', 'No image yet');
  for (const [id, label] of [
    ['view-query', 'Query view'],
    ['view-key', 'Key view'],
  ] as const) {
    const canvas = byId<HTMLCanvasElement>(id);
    canvas.getContext('2d')!.clearRect(0, 0, canvas.width, canvas.height);
    canvas.setAttribute('aria-label', label);
  }
}

function draw(canvas: HTMLCanvasElement, { size, data }: Pixels, label: string): void {
  canvas.width = size;
  canvas.height = size;
  canvas.getContext('2d')!.putImageData(new ImageData(data, size, size), 0, 0);
  canvas.setAttribute('aria-label', label);
}
