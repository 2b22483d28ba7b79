import type { Reference } from './kernel.ts';

/** Computes a node's outputs on each replica from its inputs on each. */
export type CollectiveKernel = (given: readonly (readonly Reference[])[]) => Float64Array[][];

export const collective: Readonly<Record<string, CollectiveKernel>> = {
  allReduce: (given) => {
    const sums = given[0]!.map(({ data }, i) =>
      data.map((_, at) => given.reduce((total, inputs) => total + inputs[i]!.data[at]!, 0)),
    );
    return given.map(() => sums);
  },
  allGather: (given) => {
    const rows = Float64Array.from(given.flatMap(([x]) => [...x!.data]));
    return given.map(() => [rows]);
  },
  replicaIndex: (given) => given.map((_, index) => [Float64Array.of(index)]),
};
