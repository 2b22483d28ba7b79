import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { learn } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'moco-example-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('learns shapes that a program draws', async () => {
  const { losses, measures, outcome } = await learn(join(folder, 'run'), { epochs: 6, measureEvery: 6 });
  expect(outcome).toBe('done');
  expect(losses).toHaveLength(6);
  // The first epochs rise: the queue of random keys, which are easy to tell from the positive, fills with real ones.
  expect(losses[5]).toBeLessThan(losses[1]);
  // By chance .8 %.
  expect(measures.editedCopies).toBeGreaterThan(8);
});
