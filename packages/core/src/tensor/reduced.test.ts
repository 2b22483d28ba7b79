/// <reference types="node" />
/** PyTorch's rounding: parity/precision.py made the fixture. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { roundTo } from './reduced.ts';

const file = new URL('../../../../parity/fixtures/precision.json', import.meta.url);
const { rounding } = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly rounding: Readonly<Record<'x' | 'bfloat16' | 'float16', readonly (number | string)[]>>;
};
const infinities: Readonly<Record<string, number>> = { inf: Infinity, '-inf': -Infinity };
const numbers = (listed: readonly (number | string)[]) =>
  listed.map((value) => (typeof value === 'number' ? value : infinities[value]!));

it.each(['bfloat16', 'float16'] as const)('%s is what PyTorch rounds to', (dtype) => {
  const expected = numbers(rounding[dtype]);
  expect(numbers(rounding.x).map(roundTo(dtype))).toEqual(expected);
  expect(expected.length).toBeGreaterThan(400);
});

it('what is no number stays none', () => {
  expect(roundTo('bfloat16')(Number.NaN)).toBeNaN();
  expect(roundTo('float16')(-0)).toBe(-0);
});
