/** What programs of every backend check alike: the state that they are to hold, and what they are given. */
import type { StateSlot, Tensors } from './backend.ts';
import { BackendError } from './errors.ts';
import { type Graph, hostType, type Port } from './graph/graph.ts';
import {
  type HostType,
  isReduced,
  sameShape,
  sizeOf,
  type Tensor,
  type TensorType,
} from './tensor/tensor.ts';

/**
 * @param lowerings an engine's, by op
 * @param reduced whether it has values of two bytes
 * @throws BackendError naming the op and the node that an engine has no lowering of
 */
export function expectLowerings(
  engine: string,
  lowerings: Readonly<Record<string, unknown>>,
  { nodes, values }: Graph,
  reduced = false,
): void {
  nodes.forEach(({ op, outputs }, position) => {
    const type = outputs.map((id) => values[id]!.dtype).find((dtype) => !reduced && isReduced(dtype));
    if (Object.hasOwn(lowerings, op) && type === undefined) return;
    const what = type === undefined ? `the op "${op}"` : `the op "${op}" in ${type}`;
    throw new BackendError(`${engine} has no lowering of ${what} (node ${position})`, {
      code: 'backend-unsupported',
    });
  });
}

/**
 * The types of a graph's state inputs.
 * @throws BackendError for a name that the graph lacks or that is given twice, and for an output of another type
 */
export function stateTypes(
  graph: Graph,
  state: readonly StateSlot[],
): (readonly [slot: StateSlot, type: HostType])[] {
  const typeOf = (ports: Graph['inputs'], name: string) => {
    const port = ports.find((candidate) => candidate.name === name);
    if (!port) throw new BackendError(`the graph has no port named "${name}" to hold state`);
    return hostType(graph, port);
  };
  const [inputs, outputs] = [new Set<string>(), new Set<string>()];
  return state.map((slot) => {
    const { input, output } = slot;
    const type = typeOf(graph.inputs, input);
    if (inputs.has(input) || (output !== undefined && outputs.has(output)))
      throw new BackendError(`the state "${input}" is named twice, or its output "${output}" is`);
    inputs.add(input);
    if (output !== undefined) {
      outputs.add(output);
      expectType(`the output "${output}"`, typeOf(graph.outputs, output), type);
    }
    return [slot, type] as const;
  });
}

/** The outputs that a run returns: those that replace no state. */
export function resultPorts(graph: Graph, state: readonly StateSlot[]): readonly Port[] {
  const replacing = new Set(state.map(({ output }) => output));
  return graph.outputs.filter(({ name }) => !replacing.has(name));
}

/** What a program keeps of a state. Throws BackendError for a name that it has none of. */
export function slotNamed<S>(slots: ReadonlyMap<string, S>, name: string): S {
  const slot = slots.get(name);
  if (!slot) throw new BackendError(`the program has no state named "${name}"`);
  return slot;
}

/**
 * State that is to be loaded, each value with what the program keeps of it.
 * @throws BackendError for a name, type or size that doesn't fit
 */
export function checkedState<S extends { readonly type: TensorType }>(
  slots: ReadonlyMap<string, S>,
  values: Tensors,
): (readonly [slot: S, value: Tensor])[] {
  return Object.entries(values).map(([name, value]) => {
    const slot = slotNamed(slots, name);
    expectTensor(`the state "${name}"`, value, slot.type);
    return [slot, value] as const;
  });
}

function expectType(what: string, value: TensorType, type: TensorType): void {
  if (value.dtype !== type.dtype || !sameShape(value.shape, type.shape))
    throw new BackendError(
      `${what} should be ${type.dtype} [${type.shape.join(', ')}], is ${value.dtype} [${value.shape.join(', ')}]`,
    );
}

/** Throws BackendError unless a tensor is of a type and has all its values. */
export function expectTensor(what: string, value: Tensor, type: TensorType): void {
  expectType(what, value, type);
  if (value.data.length !== sizeOf(type.shape))
    throw new BackendError(`${what} should have ${sizeOf(type.shape)} values, has ${value.data.length}`);
}

/** The feed of an input. Throws BackendError when it is missing or doesn't fit. */
export function feedNamed(feeds: Tensors, name: string, type: TensorType): Tensor {
  const value = feeds[name];
  if (!value) throw new BackendError(`no value was given for the input "${name}"`);
  expectTensor(`the input "${name}"`, value, type);
  return value;
}
