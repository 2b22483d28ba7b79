import { type Params, type Tensor, tensor } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { startFrom } from './start.ts';

const of = (value: number, size = 2): Tensor => tensor([...Array(size)].fill(value), [size]);
const query: Params = {
  'conv1.weight': of(1),
  'layer.weight': of(2),
  'fc.0.weight': of(3),
  'fc.2.weight': of(4),
};
const named = (prefix: string, params: Params) =>
  Object.fromEntries(Object.entries(params).map(([name, value]) => [`${prefix}.${name}`, value]));
/** Of a momentum encoder, which is a copy, and a slot of the same name. */
const fresh = {
  ...named('q', query),
  ...named('k', query),
  'predictor.0.weight': of(5),
  'opt.momentum.layer.weight': of(0),
  queue: of(6),
};
const given = {
  'q.conv1.weight': of(11),
  'q.layer.weight': of(12),
  'q.fc.0.weight': of(13),
  'q.fc.2.weight': of(14),
};
const first = (state: Readonly<Record<string, Tensor>>) =>
  Object.fromEntries(Object.entries(state).map(([name, { data }]) => [name, data[0]]));

describe('startFrom', () => {
  it("takes the query encoder's weights, the key encoder a copy, and leaves the rest", () => {
    const { state, taken, random, unused } = startFrom(fresh, given, 'w');
    expect(first(state)).toEqual({
      ...{ 'q.conv1.weight': 11, 'q.layer.weight': 12, 'q.fc.0.weight': 13, 'q.fc.2.weight': 14 },
      ...{ 'k.conv1.weight': 11, 'k.layer.weight': 12, 'k.fc.0.weight': 13, 'k.fc.2.weight': 14 },
      ...{ 'predictor.0.weight': 5, 'opt.momentum.layer.weight': 0, queue: 6 },
    });
    expect(Object.keys(state)).toEqual(Object.keys(fresh));
    expect([taken.length, random, unused]).toEqual([4, ['predictor.0.weight'], []]);
  });

  it('takes no part of a head that does not fit as a whole', () => {
    const other = { ...given, 'q.fc.2.weight': of(14, 3), 'predictor.0.weight': of(15) };
    const { state, taken, random, unused } = startFrom(fresh, other, 'w');
    expect(first(state)).toMatchObject({ 'q.layer.weight': 12, 'q.fc.0.weight': 3, 'k.fc.0.weight': 3 });
    expect(taken).toEqual(['q.conv1.weight', 'q.layer.weight', 'predictor.0.weight']);
    expect(random).toEqual(['q.fc.0.weight', 'q.fc.2.weight']);
    expect(unused).toEqual(['q.fc.0.weight', 'q.fc.2.weight']);
  });

  it('leaves another stem of a ResNet random, and refuses another layer', () => {
    const stem = startFrom(fresh, { ...given, 'q.conv1.weight': of(11, 3) }, 'w');
    expect(stem.random).toEqual(['q.conv1.weight', 'predictor.0.weight']);
    expect(() => startFrom(fresh, { ...given, 'q.layer.weight': of(12, 3) }, 'w.pth')).toThrow(
      'w.pth: "layer.weight" is [3], that of this run [2]: it is another model',
    );
    const { 'q.layer.weight': _, ...less } = given;
    expect(() => startFrom(fresh, less, 'w.pth')).toThrow(
      'w.pth: "layer.weight" is missing, that of this run [2]: it is another model',
    );
  });

  it('takes a tensor of the same values for no copy', () => {
    const own = { ...fresh, 'k.layer.weight': of(2) };
    expect(first(startFrom(own, given, 'w').state)['k.layer.weight']).toBe(2);
  });
});
