/** What replicas sum and gather: it comes to the host, goes through their communicator, and back. */
import {
  allocate,
  type Communicator,
  type Graph,
  type HostType,
  type Node,
  sizeOf,
  type Tensor,
} from '@moco-ts/core';
import type * as tf from '@tensorflow/tfjs-core';
import { toDevice, toHost } from './tensors.ts';

/** Computes a collective node. @returns the device's own are made by the second call, when it is the active one again */
export type Exchange = (node: Node, inputs: readonly tf.Tensor[]) => Promise<() => tf.Tensor[]>;

/** @param graph whose nodes are given; sums are in buffers that stay from run to run */
export function exchangeOf({ values }: Graph, communicator: Communicator): Exchange {
  const sums = new Map<Node, Float32Array[]>();
  const typesOf = (ids: readonly number[]) => ids.map((id) => values[id] as HostType);
  return async (node, inputs) => {
    const given = typesOf(node.inputs);
    const host = await Promise.all(inputs.map((input, i) => toHost(input, given[i]!)));
    const types = typesOf(node.outputs);
    let results: Tensor['data'][];
    if (node.op === 'allReduce') {
      const flat = sums.get(node) ?? inOnePiece(types);
      sums.set(node, flat);
      for (const [i, part] of flat.entries()) part.set(host[i]!.data);
      await communicator.allReduce(flat);
      results = flat;
    } else {
      results = types.map(({ dtype, shape }) => allocate(dtype, sizeOf(shape)));
      await communicator.allGather(host[0]!.data, results[0]!);
    }
    return () => types.map((type, i) => toDevice({ ...type, data: results[i]! }));
  };
}

function inOnePiece(types: readonly HostType[]): Float32Array[] {
  const sizes = types.map(({ shape }) => sizeOf(shape));
  const flat = new Float32Array(sizes.reduce((all, size) => all + size, 0));
  let end = 0;
  return sizes.map((size) => {
    end += size;
    return flat.subarray(end - size, end);
  });
}
