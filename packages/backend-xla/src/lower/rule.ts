import type { Attributes, TensorType } from '@moco-ts/core';
import type { Emitter, Value } from './emitter.ts';

/** Writes one op. @param types of the outputs @returns the outputs */
export type Rule = (
  emit: Emitter,
  inputs: readonly Value[],
  attrs: Attributes,
  types: readonly TensorType[],
) => readonly Value[];

/** Rules by the names of ops. */
export type Rules = Readonly<Record<string, Rule>>;
