/** The TensorFlow.js backend: `tfjs:cpu`, `tfjs:wasm`, and on the TensorFlow library `tfjs:node` and `tfjs:node-gpu`. */
import {
  type Backend,
  type BackendDevice,
  BackendError,
  type BackendOptions,
  defineBackend,
} from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';
import { loadNative } from './native.ts';
import { createProgram } from './program.ts';

/** A device: what makes it known to tfjs, and the name that tfjs has for it. */
interface Device {
  readonly declared: BackendDevice;
  readonly load: () => Promise<unknown>;
  readonly backend: string;
  /** Where transpositions cost more than the sums over maps that lie apart. */
  readonly layout?: 'channels last';
}

const devices: Readonly<Record<string, Device>> = {
  cpu: {
    declared: { name: 'tfjs:cpu', speed: 'check' },
    load: () => import('@tensorflow/tfjs-backend-cpu'),
    backend: 'cpu',
    layout: 'channels last',
  },
  wasm: {
    declared: { name: 'tfjs:wasm', speed: 'training' },
    load: () => import('@tensorflow/tfjs-backend-wasm'),
    backend: 'wasm',
  },
  node: {
    declared: { name: 'tfjs:node', speed: 'training', needs: 'driver' },
    load: () => loadNative('@tensorflow/tfjs-node'),
    backend: 'tensorflow',
    layout: 'channels last',
  },
  'node-gpu': {
    declared: { name: 'tfjs:node-gpu', speed: 'training', gpu: true, needs: 'driver' },
    load: () => loadNative('@tensorflow/tfjs-node-gpu'),
    backend: 'tensorflow',
    layout: 'channels last',
  },
};

async function create({ device = 'wasm' }: BackendOptions): Promise<Backend> {
  const known = Object.hasOwn(devices, device) ? devices[device] : undefined;
  if (!known)
    throw new BackendError(`tfjs has no device "${device}"; known are: ${Object.keys(devices).join(', ')}`, {
      code: 'backend-unknown',
      setting: 'backend',
      value: `tfjs:${device}`,
    });
  // Else tfjs greets the user, and looks for NaN in every result.
  tf.enableProdMode();
  await known.load();
  const activate = async () => {
    if (!(await tf.setBackend(known.backend)))
      throw new BackendError(`tfjs could not start its device "${device}"`, { code: 'backend-unavailable' });
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
    compile: async (graph, options = {}) => createProgram(graph, options, activate, known.layout),
    dispose: async () => {},
  };
}

export const tfjsPlugin = defineBackend({
  name: 'tfjs',
  devices: () => Object.values(devices).map(({ declared }) => declared),
  create,
});
