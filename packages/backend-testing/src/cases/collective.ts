/** Cases of ops between replicas: what one replica computes, with feeds of its own for each. */
import {
  add,
  allGather,
  allocate,
  allReduce,
  cast,
  gather,
  matmul,
  mul,
  ofFirstReplica,
  ownRows,
  relu,
  replicaIndex,
  scatterAdd,
  sum,
  type Tensor,
  type TracedParams,
} from '@moco-ts/core';
import { type Case, integers, makeCase, normal, permutation } from './case.ts';

/** Inputs that all replicas are fed alike. */
const common = 'common';

/** R cases that differ by their feeds. */
export type ReplicaCase = readonly Case[];

/** @param replicas R */
export function replicaCases(replicas: number): ReplicaCase[] {
  const each = (...[op, name, inputs, body]: Parameters<typeof makeCase>): ReplicaCase =>
    Array.from({ length: replicas }, (_, replica) => makeCase(op, `${name} ${replica}`, inputs, body));
  const gathered = ({ x }: TracedParams) => allGather(x!, replicas);
  return [
    each('allReduce', 'one value', { x: normal([4, 3]) }, ({ x }) => allReduce([x!], replicas)[0]!),
    each(
      'allReduce',
      'values of several shapes',
      { x: normal([2, 3]), y: normal([5]), z: normal([1, 16, 3, 3]) },
      ({ x, y, z }) => {
        const [scalar, a, b, c] = allReduce([sum(x!), x!, y!, z!], replicas);
        return { scalar: scalar!, a: a!, b: b!, c: c! };
      },
    ),
    each('allReduce', 'values of which some go nowhere', { x: normal([3]), y: normal([2]) }, ({ x, y }) => ({
      y: allReduce([x!, y!], replicas)[1]!,
    })),
    each('allGather', 'rows', { x: normal([2, 3]) }, gathered),
    each('allGather', 'a vector', { x: normal([3]) }, gathered),
    each('allGather', 'images', { x: normal([2, 3, 4, 4]) }, gathered),
    each('allGather', 'int32', { x: integers([3, 2], -9, 9) }, gathered),
    each('allGather', 'uint8', { x: integers([2, 3], 0, 256, 'uint8') }, gathered),
    each('replicaIndex', 'times a value', { x: normal([3]) }, ({ x }, builder) =>
      mul(x!, cast(replicaIndex(builder, replicas), 'float32')),
    ),
    each('chain', 'own rows of all', { x: normal([2, 3]) }, (inputs) =>
      ownRows(mul(gathered(inputs), 2), replicas),
    ),
    each('chain', "replica 0's values", { x: normal([2, 3]), y: normal([4]) }, ({ x, y }) => {
      const [a, b] = ofFirstReplica([x!, y!], replicas);
      return { a: a!, b: b! };
    }),
    each(
      'chain',
      'rows in a common order, and back',
      { x: normal([2, 3]), common: permutation(2 * replicas) },
      (inputs) => {
        const own = gather(gathered(inputs), ownRows(inputs.common!, replicas));
        const all = scatterAdd(allGather(relu(own), replicas), inputs.common!, 2 * replicas);
        return { own, all, mine: ownRows(all, replicas) };
      },
    ),
    each('chain', 'exchanges one behind the other', { x: normal([2, 3]), w: normal([3, 4]) }, ({ x, w }) => {
      const products = matmul(x!, allReduce([w!], replicas)[0]!);
      const all = allGather(relu(products), replicas);
      return { all, total: allReduce([add(sum(all), sum(products))], replicas)[0]! };
    }),
  ];
}

/** The feeds of all replicas, each for a program of its own. */
export const apart = <Feeds extends Readonly<Record<string, Tensor>>>(feeds: readonly Feeds[]): Feeds[] =>
  feeds.map((own) => (common in own ? { ...own, [common]: feeds[0]![common] } : own));

/** The feeds of all replicas as a program of all of them takes them: one's rows behind the other's. */
export function together(feeds: readonly Readonly<Record<string, Tensor>>[]): Record<string, Tensor> {
  const joined = Object.entries(feeds[0]!).map(([name, first]) => {
    const [rows, ...rest] = first.shape;
    if (name === common || rows === undefined) return [name, first] as const;
    const size = first.data.length;
    const data = allocate(first.dtype, size * feeds.length);
    feeds.forEach((own, replica) => {
      data.set(own[name]!.data, replica * size);
    });
    return [name, { ...first, shape: [rows * feeds.length, ...rest], data }] as const;
  });
  return Object.fromEntries(joined);
}
