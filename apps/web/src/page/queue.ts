import { byId, element } from './dom.ts';

/** The queue's slots in their order: one for each batch of keys, by its age in steps; undefined: noise of the beginning. */
export function slotAges(step: number, slots: number): (number | undefined)[] {
  return Array.from({ length: slots }, (_, slot) => {
    // The step, counted from 0, that wrote here last.
    const writer = step - 1 - ((((step - 1 - slot) % slots) + slots) % slots);
    return writer < 0 ? undefined : step - 1 - writer;
  });
}

export function emptyQueue(): void {
  byId('queue').replaceChildren();
  byId('queue').setAttribute('aria-label', 'The queue is empty');
  byId('queue-age').textContent = '-';
}

/** @param step steps that are done */
export function drawQueue(step: number, queue: number, batch: number): void {
  const slots = queue / batch;
  const ages = slotAges(step, slots);
  const cells = ages.map((age) => {
    if (age === undefined) return element('span', { class: 'noise' });
    const young = Math.round(100 * (1 - age / slots));
    return element('span', { style: `--young: ${young}%`, ...(age === 0 && { class: 'newest' }) });
  });
  const noise = ages.filter((age) => age === undefined).length;
  const oldest = Math.min(step, slots) - 1;
  const filled =
    noise > 0
      ? `${Math.round((100 * noise) / slots)} % is still the noise that it began with`
      : `the oldest are ${oldest} ${oldest === 1 ? 'step' : 'steps'} old`;
  const text = `${queue} keys in ${slots} batches; ${filled}.`;
  const place = byId('queue');
  place.replaceChildren(...cells);
  place.setAttribute('aria-label', `The queue: ${text}`);
  byId('queue-age').textContent = text;
}
