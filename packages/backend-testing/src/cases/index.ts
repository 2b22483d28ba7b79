import { barrierCases } from './barrier.ts';
import type { Case } from './case.ts';
import { chainCases } from './chains.ts';
import { convCases } from './conv.ts';
import { elementwiseCases } from './elementwise.ts';
import { indexCases } from './index-ops.ts';
import { matmulCases } from './matmul.ts';
import { normCases } from './norm.ts';
import { poolCases } from './pool.ts';
import { reduceCases } from './reduce.ts';
import { reducedCases } from './reduced.ts';
import { shapeCases } from './shape.ts';
import { transformerCases } from './transformer.ts';

export { type Case, makeCase } from './case.ts';

/** Every case, chains included. */
export const cases: readonly Case[] = [
  ...elementwiseCases,
  ...reduceCases,
  ...shapeCases,
  ...indexCases,
  ...matmulCases,
  ...convCases,
  ...poolCases,
  ...normCases,
  ...transformerCases,
  ...barrierCases,
  ...reducedCases,
  ...chainCases,
];

/** The cases of one op, or of `chain`. */
export function casesOf(op: string): Case[] {
  return cases.filter((candidate) => candidate.op === op);
}

/** The ops that have cases of their own, sorted. */
export function caseOps(): string[] {
  return [...new Set(cases.map(({ op }) => op))].filter((op) => op !== 'chain').sort();
}
