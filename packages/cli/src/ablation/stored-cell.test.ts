import { UserError } from '@moco-ts/core';
import { resolveConfig } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { storedCell } from './stored-cell.ts';

const dataset = { source: { data: 'photos', split: 'train' } } as const;
const config = resolveConfig({ data: 'photos', method: 'moco-v2', arch: 'resnet18' }, dataset);
const cell = { config, images: 24, measures: { knn: 50, neighbour: 0 }, seconds: 1.5, moco: '0.1.0' };

it('gives what was written, without what it does not know', () => {
  expect(storedCell(JSON.stringify({ ...cell, sweep: 'm', other: 1 }), 'cell.json')).toEqual(cell);
});

it('steers no terminal by what a file says', () => {
  const { failure } = storedCell(JSON.stringify({ ...cell, failure: 'a\nb\u001b[31m' }), 'cell.json');
  expect(failure).toMatch(/^a\P{C}+b\P{C}+\[31m$/u);
});

it.each([
  ['{', 'it is no JSON'],
  ['null', 'it has no config'],
  ['[]', 'it has no config'],
  ['"text"', 'it has no config'],
  [{ ...cell, images: -1 }, 'images is no number'],
  [{ ...cell, images: undefined }, 'images is no number'],
  [{ ...cell, seconds: null }, 'seconds is no time'],
  [{ ...cell, failure: 3 }, 'failure is no text'],
  [{ ...cell, measures: {} }, 'measures are no percentages'],
  [{ ...cell, measures: null }, 'measures are no percentages'],
  [{ ...cell, measures: [50] }, 'measures are no percentages'],
  [{ ...cell, measures: { knn: 101 } }, 'measures are no percentages'],
  [{ ...cell, measures: { knn: '50' } }, 'measures are no percentages'],
  [{ ...cell, measures: { constructor: 50 } }, 'measures are no percentages'],
  [{ ...cell, config: { ...config, epochs: 1e12 } }, 'epochs is 1000000000000'],
  [{ ...cell, config: 3 }, 'they are no settings'],
])('of %j it says what is wrong, in one line', (value, fault) => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const read = () => storedCell(text, 'cell.json');
  expect(read).toThrow(UserError);
  expect(read).toThrow(new RegExp(`^cell\\.json [^\\n]*${fault}[^\\n]*$`));
});
