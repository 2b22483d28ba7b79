import { expect, it } from 'vitest';
import { slotAges } from './queue.ts';

/** The ring as MoCo writes it: at each step the next slot. */
function written(steps: number, slots: number): (number | undefined)[] {
  const writers: (number | undefined)[] = new Array(slots).fill(undefined);
  for (let step = 0; step < steps; step++) writers[step % slots] = step;
  return writers.map((writer) => (writer === undefined ? undefined : steps - 1 - writer));
}

it('tells the age of each slot', () => {
  for (const slots of [1, 2, 5, 8])
    for (let steps = 0; steps < 20; steps++) expect(slotAges(steps, slots)).toEqual(written(steps, slots));
});
