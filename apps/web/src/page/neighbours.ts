import type { Mapped } from '../messages.ts';
import { byId, element } from './dom.ts';
import type { Gallery } from './sheet.ts';

/** Shown, of those that the map knows. */
const SHOWN = 8;

/** The chosen image and its nearest, each of which can be chosen in turn. @param choose called with another's index */
export function showNeighbours(
  gallery: Gallery,
  mapped: Mapped | undefined,
  index: number | undefined,
  choose: (index: number) => void,
): void {
  const place = byId('near');
  if (index === undefined || !mapped) {
    const hint = mapped ? 'Choose an image in the map.' : 'They are known as soon as training has started.';
    place.replaceChildren(element('p', { class: 'soft' }, hint));
    return;
  }
  const focused = [...place.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement);
  const tileOf = (at: number) => {
    const tile = element('span', { class: 'tile', 'aria-hidden': 'true' });
    gallery.show(tile, at);
    return tile;
  };
  const nearest = neighboursOf(mapped, index).map(({ index: at, similarity }) => {
    const { name } = gallery.images[at]!;
    const button = element('button', { type: 'button' }, tileOf(at), `${name}, ${similarity.toFixed(2)}`);
    button.addEventListener('click', () => choose(at));
    return element('li', {}, button);
  });
  const image = element('figure', {}, tileOf(index), element('figcaption', {}, gallery.images[index]!.name));
  place.replaceChildren(
    element(
      'div',
      { class: 'found' },
      image,
      element('ol', { 'aria-label': 'The nearest, with their cosines' }, ...nearest),
    ),
  );
  // A map that moves must not take the keyboard's place away.
  if (focused >= 0) place.querySelectorAll('button')[focused]?.focus();
}

export function neighboursOf({ neighbours, similarities, k }: Mapped, index: number) {
  return Array.from(neighbours.slice(index * k, index * k + Math.min(k, SHOWN)), (at, i) => ({
    index: at,
    similarity: similarities[index * k + i]!,
  }));
}
