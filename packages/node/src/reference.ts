/** Core's float64 interpreter as a backend: for checks, far too slow to train with. */
import {
  allocate,
  type BackendPlugin,
  defineBackend,
  type Graph,
  hostType,
  interpret,
  type Program,
  type StateSlot,
  type Tensor,
  type Tensors,
} from '@moco-ts/core';

/** It rounds as mixed precision does. Products have all digits in each. */
const referencePrecisions = ['fp32', 'bf16', 'fp16'] as const;

export const referencePlugin: BackendPlugin = defineBackend({
  name: 'reference',
  devices: () => [{ name: 'reference', speed: 'check', precisions: referencePrecisions }],
  create: async () => ({
    name: 'reference',
    device: 'cpu, 1 thread',
    capabilities: () => ({
      training: true,
      inference: true,
      dtypes: ['float32', 'int32', 'uint8', 'bool'] as const,
      lowering: 'float64, op by op',
      precisions: referencePrecisions,
    }),
    compile: async (graph, options) => program(graph, options?.state ?? []),
    dispose: async () => undefined,
  }),
});

function program(graph: Graph, slots: readonly StateSlot[]): Program {
  const state = new Map<string, Tensor>();
  const types = new Map(graph.outputs.map((port) => [port.name, hostType(graph, port)]));
  const replaced = new Map(slots.flatMap(({ input, output }) => (output ? [[output, input] as const] : [])));
  const copy = ({ shape, dtype, data }: Tensor): Tensor => ({ shape, dtype, data: data.slice() });
  return {
    load: async (given) => {
      for (const [name, value] of Object.entries(given)) state.set(name, copy(value));
    },
    run: async (feeds: Tensors) => {
      // Let timers and signals in: the interpreter itself never waits.
      await new Promise((resolve) => setImmediate(resolve));
      const results = interpret(graph, { ...Object.fromEntries(state), ...feeds });
      const out: Record<string, Tensor> = {};
      for (const [name, { shape, data }] of Object.entries(results)) {
        const { dtype } = types.get(name)!;
        // State is float32 between runs, as a checkpoint stores it.
        const rounded = allocate(dtype, data.length);
        rounded.set(data);
        const input = replaced.get(name);
        if (input === undefined) out[name] = { shape, dtype, data: rounded };
        else state.set(input, { shape, dtype, data: rounded });
      }
      return out;
    },
    read: async (names = slots.map(({ input }) => input)) =>
      Object.fromEntries(names.map((name) => [name, copy(state.get(name)!)])),
    memory: { stateBytes: 0 },
    dispose: async () => state.clear(),
  };
}
