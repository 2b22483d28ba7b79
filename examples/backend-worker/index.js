/** A backend that runs graphs in a thread: docs/new-backend.md goes through it. */
import { Worker } from 'node:worker_threads';
import {
  BackendError,
  bytesOf,
  defineBackend,
  expectTensor,
  feedNamed,
  referenceOps,
  sizeOf,
  stateTypes,
} from '@moco-ts/core';

export const workerBackend = defineBackend({
  name: 'worker',
  devices: () => [{ name: 'worker', speed: 'check' }],
  create: async () => {
    const thread = createThread();
    return {
      name: 'worker',
      device: 'cpu, a thread',
      capabilities: () => ({
        training: true,
        inference: true,
        dtypes: ['float32', 'int32', 'uint8', 'bool'],
        lowering: 'op by op, in a thread',
      }),
      compile: async (graph, options = {}) => {
        const known = new Set(referenceOps());
        graph.nodes.forEach(({ op }, position) => {
          if (!known.has(op)) throw new BackendError(`worker has no op "${op}" (node ${position})`);
        });
        return createProgram(thread, graph, options.state ?? []);
      },
      dispose: () => thread.close(),
    };
  },
});

function createProgram(thread, graph, slots) {
  const types = new Map(stateTypes(graph, slots).map(([{ input }, type]) => [input, type]));
  const replaces = new Map(slots.flatMap(({ input, output }) => (output ? [[output, input]] : [])));
  const feedPorts = graph.inputs.filter(({ name }) => !types.has(name));
  const state = new Map();
  const stateBytes = [...types.values()].reduce(
    (sum, type) => sum + sizeOf(type.shape) * bytesOf(type.dtype),
    0,
  );
  const copy = ({ shape, dtype, data }) => ({ shape, dtype, data: data.slice() });
  const loaded = (name) => {
    if (!types.has(name)) throw new BackendError(`the program has no state named "${name}"`);
    const value = state.get(name);
    if (!value) throw new BackendError(`the state "${name}" was never loaded`);
    return value;
  };
  return {
    load: async (values) => {
      // All is checked before anything changes.
      for (const [name, value] of Object.entries(values)) {
        if (!types.has(name)) throw new BackendError(`the program has no state named "${name}"`);
        expectTensor(`the state "${name}"`, value, types.get(name));
      }
      for (const [name, value] of Object.entries(values)) state.set(name, copy(value));
    },
    run: async (feeds) => {
      const inputs = {};
      for (const name of types.keys()) inputs[name] = loaded(name);
      for (const { name, value } of feedPorts) inputs[name] = feedNamed(feeds, name, graph.values[value]);
      const results = {};
      for (const [name, value] of Object.entries(await thread.run(graph, inputs))) {
        const input = replaces.get(name);
        if (input === undefined) results[name] = value;
        else state.set(input, value);
      }
      return results;
    },
    read: async (names = [...types.keys()]) =>
      Object.fromEntries(names.map((name) => [name, copy(loaded(name))])),
    memory: { stateBytes },
    dispose: async () => state.clear(),
  };
}

/** One thread, which answers in the order in which it is asked. */
function createThread() {
  const worker = new Worker(new URL('./worker.js', import.meta.url));
  const waiting = [];
  worker.on('message', ({ outputs, error }) => {
    const { resolve, reject } = waiting.shift();
    if (error === undefined) resolve(outputs);
    else reject(new BackendError(`worker: ${error}`));
  });
  worker.on('error', (error) => {
    for (const { reject } of waiting.splice(0)) reject(new BackendError(`worker: ${error.message}`));
  });
  // A backend that is forgotten must not keep the process.
  worker.unref();
  return {
    run: (graph, inputs) => {
      worker.ref();
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        worker.postMessage({ graph, inputs });
      }).finally(() => {
        if (waiting.length === 0) worker.unref();
      });
    },
    close: async () => {
      await worker.terminate();
    },
  };
}
