/** The module that a graph becomes, and where its state and results are in it. */
import {
  type CompileOptions,
  type Graph,
  type HostType,
  type Port,
  resultPorts,
  type StateSlot,
  stateTypes,
} from '@moco-ts/core';
import { lowerModule } from './lower/module.ts';

export interface StepModule {
  /** StableHLO. The same graph gives the same text. */
  readonly text: string;
  readonly slots: readonly (readonly [StateSlot, HostType])[];
  /** The results behind those that replace state. */
  readonly results: readonly Port[];
}

/** @throws BackendError for state that doesn't fit, or an op without a lowering */
export function moduleOf(graph: Graph, { state = [], tf32 = false }: CompileOptions = {}): StepModule {
  const slots = stateTypes(graph, state);
  const replaced = slots.flatMap(([{ input, output }]) => (output === undefined ? [] : [{ input, output }]));
  const results = resultPorts(graph, state);
  const outputs = new Map(graph.outputs.map(({ name, value }) => [name, value]));
  const text = lowerModule(
    graph,
    [...replaced.map(({ output }) => outputs.get(output)!), ...results.map(({ value }) => value)],
    replaced.map(({ input }) => input),
    tf32 ? 'DEFAULT' : 'HIGHEST',
  );
  return { text, slots, results };
}
