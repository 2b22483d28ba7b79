/** Ops that move data, and reductions over axes. */
import { sizeOf } from '@moco-ts/core';
import { elementType } from './emitter.ts';
import type { Rules } from './rule.ts';

const list = (values: readonly number[]): string => values.join(', ');
const ranges = (starts: readonly number[], sizes: readonly number[]): string =>
  starts.map((start, axis) => `${start}:${start + sizes[axis]!}`).join(', ');

export const shape: Rules = {
  sum: (emit, [x], { axes }, [type]) => [
    emit.reshape(emit.reduce('add', x!, axes as readonly number[]), type!.shape),
  ],
  mean: (emit, [x], { axes }, [type]) => [emit.mean(x!, axes as readonly number[], type!.shape)],
  max: (emit, [x], { axes }, [type]) => [
    emit.reshape(emit.reduce('maximum', x!, axes as readonly number[]), type!.shape),
  ],
  reshape: (emit, [x], _, [type]) => [emit.reshape(x!, type!.shape)],
  barrier: (emit, [x, after]) => [emit.barrier(x!, after!)],
  transpose: (emit, [x], { permutation }) => [emit.transpose(x!, permutation as readonly number[])],
  broadcastTo: (emit, [x], _, [type]) => [emit.broadcastTo(x!, type!.shape)],
  slice: (emit, [x], { starts, sizes }, [type]) => [
    emit.op(
      `stablehlo.slice ${x!.name} [${ranges(starts as readonly number[], sizes as readonly number[])}]`,
      [x!],
      type!,
    ),
  ],
  pad: (emit, [x], { before, after }, [type]) => {
    const zero = emit.constant(0, { shape: [], dtype: x!.dtype });
    const [low, high] = [before as readonly number[], after as readonly number[]];
    return [
      emit.op(
        `stablehlo.pad ${x!.name}, ${zero.name}, low = [${list(low)}], high = [${list(high)}], interior = [${list(low.map(() => 0))}]`,
        [x!, zero],
        type!,
      ),
    ];
  },
  concat: (emit, inputs, { axis }, [type]) => [
    emit.op(
      `stablehlo.concatenate ${inputs.map(({ name }) => name).join(', ')}, dim = ${axis}`,
      inputs,
      type!,
    ),
  ],
  split: (emit, [x], { axis, sizes }, types) => {
    let end = 0;
    return types.map((type, part) => {
      const start = end;
      end += (sizes as readonly number[])[part]!;
      const starts = x!.shape.map((_, a) => (a === axis ? start : 0));
      return emit.op(`stablehlo.slice ${x!.name} [${ranges(starts, type.shape)}]`, [x!], type);
    });
  },
  gather: (emit, [x, rows], _, [type]) => {
    const rest = x!.shape.slice(1);
    return [
      emit.op(
        `"stablehlo.gather"(${x!.name}, ${rows!.name}) {dimension_numbers = #stablehlo.gather<offset_dims = [${list(rest.map((_, i) => i + 1))}], collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: ${list([1, ...rest])}>}`,
        [x!, rows!],
        type!,
      ),
    ];
  },
  scatterAdd: (emit, [x, rows], _, [type]) => {
    const zeros = emit.constant(0, type);
    const element = `tensor<${elementType(type!)}>`;
    const window = x!.shape.slice(1).map((_, i) => i + 1);
    return [
      emit.op(
        `"stablehlo.scatter"(${zeros.name}, ${rows!.name}, ${x!.name}) ({ ^bb0(%a: ${element}, %b: ${element}): %m = stablehlo.add %a, %b : ${element}\n stablehlo.return %m : ${element} }) {scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [${list(window)}], inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}`,
        [zeros, rows!, x!],
        type!,
      ),
    ];
  },
  // It wraps around. dynamic_update_slice would move a slice that reaches over the end back instead.
  updateSlice: (emit, [x, update, start], { axis }, [type]) => {
    const along = axis as number;
    const positions = { shape: [update!.shape[along]!], dtype: 'int32' } as const;
    const counted = emit.line(`stablehlo.iota dim = 0 : tensor<${sizeOf(positions.shape)}xi32>`, positions);
    const wrapped = emit.same('remainder', [
      emit.binary('add', counted, start!),
      emit.constant(x!.shape[along]!, positions),
    ]);
    const element = `tensor<${elementType(type!)}>`;
    const window = x!.shape.flatMap((_, a) => (a === along ? [] : [a]));
    return [
      emit.op(
        `"stablehlo.scatter"(${x!.name}, ${wrapped.name}, ${update!.name}) ({ ^bb0(%a: ${element}, %b: ${element}): stablehlo.return %b : ${element} }) {unique_indices = true, scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [${list(window)}], inserted_window_dims = [${along}], scatter_dims_to_operand_dims = [${along}], index_vector_dim = 1>}`,
        [x!, wrapped, update!],
        type!,
      ),
    ];
  },
};
