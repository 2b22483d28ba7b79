/** The oracle as a backend: for the kit's own test, and as the shortest example of one. */
import {
  acrossReplicas,
  allocate,
  type Backend,
  BackendError,
  type BackendPlugin,
  type CompileOptions,
  defineBackend,
  type Feed,
  type Graph,
  type HostType,
  hostType,
  interpretReplicas,
  type Program,
  partOf,
  portType,
  referenceOps,
  resultPorts,
  sameShape,
  type Tensor,
  type Tensors,
} from '@moco-ts/core';

/** Values in float64, as the oracle computes them: state keeps its digits from run to run. */
type Values = Record<string, Feed>;

export const referenceBackend: BackendPlugin = defineBackend({
  name: 'reference',
  create: async () => createReference(),
});

/**
 * A backend that runs graphs in float64 by their definitions, slowly.
 * @param replicas R, which a program of a graph with collectives runs at once
 */
export function createReference(replicas = 1): Backend {
  return {
    name: 'reference',
    device: 'cpu, float64',
    replicas,
    capabilities: () => ({
      training: true,
      inference: true,
      dtypes: ['float32', 'int32', 'uint8', 'bool'],
      lowering: 'by definition, float64',
      precisions: ['fp32', 'bf16', 'fp16'],
    }),
    compile: async (graph, options = {}) => {
      const known = new Set(referenceOps());
      graph.nodes.forEach(({ op }, i) => {
        if (!known.has(op))
          throw new BackendError(`the reference backend has no op "${op}" (node ${i})`, {
            code: 'backend-unsupported',
          });
      });
      return program(graph, options, replicas);
    },
    dispose: async () => {},
  };
}

function program(graph: Graph, { state: slots = [] }: CompileOptions, devices: number): Program {
  const replicas = graph.nodes.some(({ op }) => acrossReplicas.has(op)) ? devices : 1;
  const state: Values = {};
  const stateInputs = new Set(slots.map(({ input }) => input));
  const types = Object.fromEntries(slots.map(({ input }) => [input, portType(graph, graph.inputs, input)]));

  const copyIn = (name: string, { shape, data }: Tensor): Feed => {
    const expected = portType(graph, graph.inputs, name);
    if (!sameShape(shape, expected.shape))
      throw new RangeError(`"${name}" is [${shape.join(', ')}], should be [${expected.shape.join(', ')}]`);
    return { shape, data: Float64Array.from(data) };
  };
  return {
    load: async (given) => {
      for (const [name, value] of Object.entries(given)) {
        if (!stateInputs.has(name)) throw new RangeError(`"${name}" is no state of this program`);
        state[name] = copyIn(name, value);
      }
    },
    run: async (feeds: Tensors) => {
      for (const name of stateInputs)
        if (!state[name]) throw new RangeError(`the state "${name}" was not loaded`);
      const fed = Array.from({ length: replicas }, (_, replica) => {
        const own = Object.entries(feeds).map(([name, value]) => {
          const { shape } = portType(graph, graph.inputs, name);
          return [name, copyIn(name, partOf(value, shape, replica, replicas))] as const;
        });
        return { ...Object.fromEntries(own), ...state };
      });
      const outputs = interpretReplicas(graph, fed)[0]!;
      for (const { input, output } of slots) if (output !== undefined) state[input] = outputs[output]!;
      return Object.fromEntries(
        resultPorts(graph, slots).map((port) => [
          port.name,
          copyOut(outputs[port.name]!, hostType(graph, port)),
        ]),
      );
    },
    read: async (names = [...stateInputs]) =>
      Object.fromEntries(names.map((name) => [name, copyOut(state[name]!, types[name]!)])),
    memory: {
      stateBytes: Object.values(types).reduce(
        (total, { shape }) => total + 8 * shape.reduce((a, b) => a * b, 1),
        0,
      ),
    },
    dispose: async () => {},
  };
}

/** Rounds float64 to the dtype of a tensor. */
function copyOut({ data }: Feed, type: HostType): Tensor {
  const rounded = allocate(type.dtype, data.length);
  rounded.set(data);
  return { ...type, data: rounded };
}
