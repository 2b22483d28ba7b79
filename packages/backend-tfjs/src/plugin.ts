/** The TensorFlow.js backend: `tfjs:cpu` and `tfjs:wasm`. */
import { type Backend, BackendError, type BackendOptions, defineBackend } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { createProgram } from './program.ts';

/** What makes each device known to tfjs. */
const devices: Readonly<Record<string, () => Promise<unknown>>> = {
  cpu: () => import('@tensorflow/tfjs-backend-cpu'),
  wasm: () => import('@tensorflow/tfjs-backend-wasm'),
};

async function create({ device = 'wasm' }: BackendOptions): Promise<Backend> {
  const load = devices[device];
  if (!load)
    throw new BackendError(`tfjs has no device "${device}"; known are: ${Object.keys(devices).join(', ')}`);
  // Else tfjs greets the user, and looks for NaN in every result.
  tf.enableProdMode();
  await load();
  const activate = async () => {
    if (!(await tf.setBackend(device))) throw new BackendError(`tfjs could not start its device "${device}"`);
  };
  await activate();
  return {
    name: 'tfjs',
    device,
    capabilities: () => ({
      training: true,
      inference: true,
      dtypes: ['float32', 'int32', 'uint8', 'bool'],
      lowering: 'kernels one by one',
    }),
    compile: async (graph, options = {}) => createProgram(graph, options, activate),
    dispose: async () => {},
  };
}

export const tfjsPlugin = defineBackend({ name: 'tfjs', create });
