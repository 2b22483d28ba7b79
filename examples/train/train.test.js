import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { shapes } from '../own-data/index.js';
import { bar, learn } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'moco-example-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('draws how far it is', () => {
  expect(bar(0.5, 65, 12)).toBe('[######------]  50 %  1:05 left');
  expect(bar(1, 0, 4)).toBe('[####] 100 %  0:00 left');
});

it('trains on images of a program, and compares', async () => {
  let shown = '';
  const options = {
    data: shapes(128),
    arch: 'resnet-micro',
    epochs: 2,
    workers: 0,
    out: join(folder, 'run'),
  };
  const { compared, model, outcome } = await learn(options, (text) => {
    shown += text;
  });
  expect(outcome).toBe('done');
  expect(existsSync(model)).toBe(true);
  expect(shown).toMatch(/method: simclr \(the rest of a batch/);
  expect(shown).toContain('100 %');
  expect(compared.map(({ measure }) => measure)).toEqual(['editedCopies']);
});
