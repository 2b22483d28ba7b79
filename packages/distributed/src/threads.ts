/** How many threads a rank computes with, so that those of one machine share its cores. */
import { readFileSync } from 'node:fs';

/** The cores that this process may run on, one bit each; 0 where the system doesn't tell. */
export function ownCores(): bigint {
  try {
    const [, words] = /^Cpus_allowed:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
    return BigInt(`0x${words!.replaceAll(',', '')}`);
  } catch {
    return 0n;
  }
}

/**
 * Launchers may bind ranks, each to cores of its own (Open MPI does by default) or several to the same. Either way the ranks of a
 * machine share the cores that any of them may run on.
 * @param ranks the cores of each rank of this machine, one bit each
 * @param own those of this rank
 * @param available what Node counts for this process, which may be less: a container's share of the time
 */
export function threadsPerRank(ranks: readonly bigint[], own: bigint, available: number): number {
  const limited = available < bits(own) || own === 0n;
  const cores = limited ? available : bits(ranks.reduce((all, each) => all | each, own));
  return Math.max(1, Math.min(available, Math.floor(cores / ranks.length)));
}

const bits = (mask: bigint) => mask.toString(2).replaceAll('0', '').length;
