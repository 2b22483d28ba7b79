import { Meter } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { checkCollapse } from './collapse.ts';

const config = { mocoDim: 128 };
function warnings(loss: number, std: number, symmetric = false): string[] {
  const list: string[] = [];
  const meters = { loss: new Meter({ sum: loss, count: 1 }), featureStd: new Meter({ sum: std, count: 1 }) };
  const chance = symmetric
    ? { loss: 2 * Math.log(1024), formula: '2 log(K + 1)' }
    : { loss: Math.log(1024), formula: 'log(K + 1)' };
  checkCollapse(config, chance, meters, (text) => list.push(String(text)));
  return list;
}

it('is silent while features spread and the loss is below that of guessing', () => {
  expect(warnings(5, 0.06)).toEqual([]);
  expect(warnings(7.5, 0.06)).toEqual([]);
});

it('tells a collapse and a loss of guessing', () => {
  expect(warnings(5, 1e-4)).toEqual([expect.stringContaining('collapsed')]);
  expect(warnings(Math.log(1024), 0.06)).toEqual([expect.stringContaining('log(K + 1) = 6.931')]);
  expect(warnings(2 * Math.log(1024), 0.06, true)).toHaveLength(1);
  expect(warnings(Math.log(1024), 0.06, true)).toEqual([]);
});
