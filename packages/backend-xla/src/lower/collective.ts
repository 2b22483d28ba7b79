/** Ops between replicas. Without a channel they are of the replicas of one program, each on a device. */
import { elementType, type Value } from './emitter.ts';
import type { Rules } from './rule.ts';

/** All replicas in one group. */
const oneGroup = (replicas: unknown): string => {
  const count = replicas as number;
  const list = Array.from({ length: count }, (_, replica) => replica).join(', ');
  return `replica_groups = dense<[[${list}]]> : tensor<1x${count}xi64>`;
};
const names = (values: readonly Value[]) => values.map(({ name }) => name).join(', ');

export const collective: Rules = {
  allReduce: (emit, values, { replicas }, types) => {
    const element = `tensor<${elementType(types[0]!)}>`;
    return emit.several(
      `"stablehlo.all_reduce"(${names(values)}) ({ ^bb0(%a: ${element}, %b: ${element}): %s = stablehlo.add %a, %b : ${element}\n stablehlo.return %s : ${element} }) {${oneGroup(replicas)}}`,
      values,
      types,
    );
  },
  allGather: (emit, [x], { replicas }, [type]) => [
    emit.op(
      `"stablehlo.all_gather"(${x!.name}) {all_gather_dim = 0 : i64, ${oneGroup(replicas)}}`,
      [x!],
      type!,
    ),
  ],
  replicaIndex: (emit, _, __, [type]) => {
    const index = emit.line('stablehlo.replica_id : tensor<ui32>', type!);
    return [emit.line(`stablehlo.convert ${index.name} : (tensor<ui32>) -> tensor<i32>`, type!)];
  },
};
