import { tensor } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { finiteFeatures, finiteState } from './finite.ts';

it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('refuses %d', (value) => {
  expect(() => finiteFeatures(Float32Array.of(1, value))).toThrow(/The features are not finite/);
  const state = { a: tensor([1], [1]), b: tensor([2, value], [2]) };
  expect(() => finiteState(state)).toThrow(/The weights are not finite/);
});

it('gives back what is finite', () => {
  const [features, state] = [Float32Array.of(1, -3e38), { a: tensor([3], [1]), n: tensor([1], [], 'int32') }];
  expect([finiteFeatures(features), finiteState(state)]).toEqual([features, state]);
});
