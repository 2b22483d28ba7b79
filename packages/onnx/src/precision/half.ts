import { say, settingRef, UserError } from '@moco-ts/core';
import { elementTypes } from '../proto.ts';
import { halfBits, largestHalf } from './float16.ts';
import { type Network, numbers } from './rewriting.ts';

/**
 * The network in float16: weights and computation, between casts at its borders. Runtimes without float16 for an op compute it in
 * float32 by themselves.
 * @returns how a value of the network leaves it, as float32
 * @throws UserError for weights beyond the range of float16
 */
export function toHalf({ onnx, from, input }: Network): (value: string) => string {
  const narrowed = new Map<string, string>();
  const entered = onnx.fresh('narrow');
  const narrow = (name: string): string => {
    if (name === input) return entered;
    const known = narrowed.get(name);
    if (known !== undefined) return known;
    const constant = onnx.constant(name);
    if (constant?.type !== 'float32') return name;
    const values = numbers(constant);
    const large = values.find((value) => Math.abs(value) > largestHalf);
    if (large !== undefined)
      throw new UserError(
        say`${name} holds ${large}, beyond the range of float16: export without ${settingRef('precision', 'fp16')}`,
      );
    const half = onnx.initializer(
      onnx.fresh('half'),
      'float16',
      constant.dims,
      Uint16Array.from(values, halfBits),
    );
    narrowed.set(name, half);
    return half;
  };
  let first = true;
  onnx.rewrite(from, (node) => {
    if (first)
      onnx.append({ opType: 'Cast', input: [input], output: [entered], attribute: castTo('float16') });
    first = false;
    const casts =
      node.opType === 'Cast' && (node.attribute as { i?: number }[])[0]?.i === elementTypes.float32;
    return {
      ...node,
      input: node.input.map(narrow),
      ...(casts && { attribute: castTo('float16') }),
    };
  });
  return (value) => onnx.op('Cast', [value], { to: elementTypes.float32 });
}

const castTo = (type: 'float16') => [{ name: 'to', type: 2, i: elementTypes[type] }];
