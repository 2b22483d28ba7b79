import { readFileSync } from 'node:fs';
import { acrossReplicas, opNamed, opNames, referenceOps } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { replicaCases } from './cases/collective.ts';
import { caseOps, cases } from './cases/index.ts';
import { isDifferentiable } from './graphs.ts';

/** The ops of one program: those between replicas have a suite of their own. */
const ops = opNames().filter((name) => !acrossReplicas.has(name));

it('every op is known to the oracle', () => {
  expect(referenceOps()).toEqual(opNames());
});

it('every op has cases of its own', () => {
  expect(caseOps()).toEqual(ops);
});

it('every op between replicas has cases of its own', () => {
  const tested = new Set(replicaCases(2).map((each) => each[0]!.op));
  expect([...acrossReplicas].filter((op) => !tested.has(op))).toEqual([]);
});

it('every op with a gradient has cases that test it', () => {
  const tested = new Set(cases.filter(isDifferentiable).map(({ op }) => op));
  expect(ops.filter((name) => opNamed(name).grad && !tested.has(name))).toEqual([]);
});

it('no two cases of an op share a name', () => {
  const names = cases.map(({ op, name }) => `${op}: ${name}`);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

it('every op has a row in docs/backends.md, and no backend fails a case there', () => {
  const text = readFileSync(new URL('../../../docs/backends.md', import.meta.url), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| `') && /\| \d/.test(line));
  const listed = rows.map((line) => /^\| `([^`]+)`/.exec(line)![1]!);
  expect(listed.filter((op) => ops.includes(op)).sort()).toEqual(ops);
  expect(rows.filter((line) => line.includes('**'))).toEqual([]);
});
