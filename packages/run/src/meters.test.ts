import { expect, it } from 'vitest';
import { createMeters, Meter, meterStates } from './meters.ts';

it('averages, and has 0 before the first value', () => {
  const meter = new Meter();
  expect(meter.average).toBe(0);
  for (const value of [1, 2, 6]) meter.add(value);
  expect([meter.last, meter.average]).toEqual([6, 3]);
});

it('goes on from its state as if it had not stopped', () => {
  const unbroken = createMeters();
  const first = createMeters();
  const values = [0.1, 0.7, 1e9, -3.3, 0.2];
  for (const value of values) unbroken.loss.add(value);
  for (const value of values.slice(0, 2)) first.loss.add(value);
  const second = createMeters(JSON.parse(JSON.stringify(meterStates(first))));
  for (const value of values.slice(2)) second.loss.add(value);
  expect(second.loss.average).toBe(unbroken.loss.average);
});
