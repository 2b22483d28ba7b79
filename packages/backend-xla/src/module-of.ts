/** The module that a graph becomes, and where its state and results are in it. */
import { type CompileOptions, type Graph, type Port, resultPorts, stateTypes } from '@moco-ts/core';
import { lowerModule } from './lower/module.ts';

export interface StepModule {
  /** StableHLO. The same graph gives the same text. */
  readonly text: string;
  /** What it returns, in order: first what replaces state, in whose memory it is. */
  readonly outputs: readonly Port[];
}

/** @throws BackendError for state that doesn't fit, or an op without a lowering */
export function moduleOf(graph: Graph, { state = [], tf32 = false }: CompileOptions = {}): StepModule {
  const outputs = new Map(graph.outputs.map((port) => [port.name, port]));
  const replaced = stateTypes(graph, state).flatMap(([{ input, output }]) =>
    output === undefined ? [] : [{ input, output: outputs.get(output)! }],
  );
  const returned = [...replaced.map(({ output }) => output), ...resultPorts(graph, state)];
  const text = lowerModule(
    graph,
    returned.map(({ value }) => value),
    replaced.map(({ input }) => input),
    tf32 ? 'DEFAULT' : 'HIGHEST',
  );
  return { text, outputs: returned };
}
