/** The thread: runs a graph by core's own interpreter, and rounds the results to the types that the graph names. */
import { parentPort } from 'node:worker_threads';
import { allocate, interpret } from '@moco-ts/core';

parentPort.on('message', ({ graph, inputs }) => {
  try {
    const results = interpret(graph, inputs);
    const outputs = {};
    for (const { name, value } of graph.outputs) {
      const { dtype, shape } = graph.values[value];
      const data = allocate(dtype, results[name].data.length);
      data.set(results[name].data);
      outputs[name] = { shape, dtype, data };
    }
    parentPort.postMessage({ outputs });
  } catch (error) {
    parentPort.postMessage({ error: error.message });
  }
});
