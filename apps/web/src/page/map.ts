/** The map: a list box whose options lie on a plane. One tab stop; arrow keys go to the next image in their direction. */
import type { Mapped } from '../messages.ts';
import { byId, element } from './dom.ts';
import { step } from './move.ts';
import type { Gallery } from './sheet.ts';

export interface ImageMap {
  open(gallery: Gallery): void;
  place(mapped: Mapped): void;
  /** Chooses an image; undefined: none. */
  choose(index: number | undefined): void;
}

/** Images that glide to their places, at most: more would make a browser stumble. */
const GLIDING = 1000;

const directions: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** @param chosen called when another image is chosen */
export function createMap(chosen: (index: number | undefined) => void): ImageMap {
  const box = byId('map');
  let tiles: HTMLElement[] = [];
  let mapped: Mapped | undefined;
  let current: number | undefined;

  function choose(index: number | undefined): void {
    if (current !== undefined) tiles[current]?.setAttribute('aria-selected', 'false');
    current = index;
    box.classList.toggle('chosen', index !== undefined);
    if (index === undefined) box.removeAttribute('aria-activedescendant');
    else {
      tiles[index]!.setAttribute('aria-selected', 'true');
      box.setAttribute('aria-activedescendant', tiles[index]!.id);
    }
    mark();
    chosen(index);
  }

  function mark(): void {
    const { k, neighbours } = mapped ?? { k: 0, neighbours: [] };
    const start = (current ?? 0) * k;
    const near = new Set(current === undefined ? [] : neighbours.slice(start, start + k));
    tiles.forEach((tile, i) => {
      tile.classList.toggle('near', near.has(i));
    });
  }

  box.addEventListener('click', ({ target }) => {
    const at = tiles.indexOf(target as HTMLElement);
    choose(at < 0 ? undefined : at);
  });
  box.addEventListener('keydown', (event) => {
    if (!mapped || event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = directions[event.key];
    const last = tiles.length - 1;
    if (direction) choose(current === undefined ? 0 : step(mapped.positions, current, direction));
    else if (event.key === 'Home') choose(0);
    else if (event.key === 'End') choose(last);
    else if (event.key === 'Escape') choose(undefined);
    else return;
    event.preventDefault();
  });

  return {
    choose,
    open: ({ images, show }) => {
      choose(undefined);
      mapped = undefined;
      box.classList.toggle('many', images.length > GLIDING);
      tiles = images.map(({ name }, i) => {
        const tile = element('div', {
          ...{ class: 'tile', role: 'option', id: `tile-${i}` },
          ...{ 'aria-label': name, 'aria-selected': 'false', title: name },
        });
        show(tile, i);
        const columns = Math.ceil(Math.sqrt((images.length * 5) / 4));
        put(
          tile,
          (i % columns) / (columns - 1 || 1),
          Math.floor(i / columns) / Math.max(1, Math.ceil(images.length / columns) - 1),
        );
        return tile;
      });
      box.replaceChildren(...tiles);
    },
    place: (layout) => {
      mapped = layout;
      tiles.forEach((tile, i) => {
        put(tile, layout.positions[2 * i]!, layout.positions[2 * i + 1]!);
      });
      mark();
    },
  };
}

function put({ style }: HTMLElement, x: number, y: number): void {
  style.setProperty('--x', x.toFixed(4));
  style.setProperty('--y', y.toFixed(4));
}
