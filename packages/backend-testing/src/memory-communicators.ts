/** Communicators between replicas that run in one process: for tests of what runs between them. */
import { BackendError, type Communicator, type Tensor } from '@moco-ts/core';

type Values = Tensor['data'];

/** What one replica brings to a call that all make together. */
interface Part {
  readonly call: string;
  readonly from: readonly Values[];
  readonly to: readonly Values[];
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/** Sums in the order of the replicas, rounded to float32 at each. */
function sum(parts: readonly Part[]): void {
  parts[0]!.to.forEach((_, i) => {
    const total = Float32Array.from(parts[0]!.from[i]!);
    for (const { from } of parts.slice(1))
      for (let at = 0; at < total.length; at++) total[at]! += from[i]![at]!;
    for (const { to } of parts) to[i]!.set(total);
  });
}

/** One replica's values behind the other's. */
function gather(parts: readonly Part[]): void {
  const all = parts.flatMap(({ from }) => [...from[0]!]);
  for (const { to } of parts) to[0]!.set(all);
}

/**
 * R replicas of one process: what one of them calls returns once all have called it.
 * @param size R
 * @returns a communicator for each replica. Its calls reject with a `BackendError`, on all replicas, where these call different
 * things or with different lengths
 */
export function memoryCommunicators(size: number): Communicator[] {
  /** Calls that not all have made, by how many calls a replica made before. */
  const open = new Map<number, Part[]>();
  return Array.from({ length: size }, (_, rank) => {
    let calls = 0;
    const meet = (
      call: string,
      from: readonly Values[],
      to: readonly Values[],
      act: (parts: readonly Part[]) => void,
    ) =>
      new Promise<void>((done, failed) => {
        const number = calls++;
        const parts = open.get(number) ?? [];
        open.set(number, parts);
        parts[rank] = { call, from, to, done, failed };
        if (Object.keys(parts).length < size) return;
        open.delete(number);
        const different = parts.findIndex((part) => part.call !== call);
        if (different < 0) {
          act(parts);
          for (const part of parts) part.done();
          return;
        }
        const said = `replica ${rank} calls ${call}, replica ${different} ${parts[different]!.call}`;
        for (const part of parts) part.failed(new BackendError(said));
      });
    const lengths = (values: readonly Values[]) => values.map(({ length }) => length).join(', ');
    return {
      rank,
      size,
      allReduce: (values) => meet(`allReduce of ${lengths(values)}`, values, values, sum),
      allGather: (values, gathered) =>
        meet(`allGather of ${lengths([values])} to ${lengths([gathered])}`, [values], [gathered], gather),
    };
  });
}
