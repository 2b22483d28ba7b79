import { opNamed, opNames, referenceOps } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { caseOps, cases, isDifferentiable } from './index.ts';

it('every op is known to the oracle', () => {
  expect(referenceOps()).toEqual(opNames());
});

it('every op has cases of its own', () => {
  expect(caseOps()).toEqual(opNames());
});

it('every op with a gradient has cases that test it', () => {
  const tested = new Set(cases.filter(isDifferentiable).map(({ op }) => op));
  expect(opNames().filter((name) => opNamed(name).grad && !tested.has(name))).toEqual([]);
});

it('no two cases of an op share a name', () => {
  const names = cases.map(({ op, name }) => `${op}: ${name}`);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
