/** Tensors between the host and tfjs, which knows no uint8: there it is int32. */
import { type HostDType, type HostType, sizeOf, type Tensor } from '@moco-ts/core';
import * as tf from '@tensorflow/tfjs-core';

const deviceTypes: Readonly<Record<HostDType, 'float32' | 'int32' | 'bool'>> = {
  float32: 'float32',
  int32: 'int32',
  uint8: 'int32',
  bool: 'bool',
};

/** A copy on the device. */
export function toDevice({ data, dtype, shape }: Tensor): tf.Tensor {
  const copy = dtype === 'uint8' ? Int32Array.from(data) : data.slice();
  return tf.tensor(copy as Float32Array, [...shape], deviceTypes[dtype]);
}

/** A copy on the host. */
export async function toHost(value: tf.Tensor, { dtype, shape }: HostType): Promise<Tensor> {
  const data = await value.data();
  if (data.length !== sizeOf(shape))
    throw new RangeError(`expected ${sizeOf(shape)} values, got ${data.length}`);
  if (dtype === 'float32') return { dtype, shape, data: Float32Array.from(data) };
  if (dtype === 'int32') return { dtype, shape, data: Int32Array.from(data) };
  return { dtype, shape, data: Uint8Array.from(data) };
}
