/** What carries values between replicas that run as programs of their own: MPI between processes, or memory within one. */
import type { TypedArray } from './tensor/tensor.ts';

/**
 * All replicas call the same methods in the same order, with arrays of the same lengths: a call returns once each of them has made
 * it. A call that fails leaves its arrays as they may be.
 */
export interface Communicator {
  /** This replica's number, 0 to `size` - 1. */
  readonly rank: number;
  /** R. */
  readonly size: number;
  /**
   * Sums values over the replicas, in place, with the same bits on each.
   * @param values in place of which their sums are written; views of one buffer, one behind the other, go in one exchange without a
   * copy
   * @throws BackendError where a replica is lost
   */
  allReduce(values: readonly Float32Array[]): Promise<void>;
  /**
   * Puts the replicas' values one behind the other, in their order.
   * @param values of this replica
   * @param gathered of the same type, of `size` times the length
   * @throws BackendError where a replica is lost
   */
  allGather(values: TypedArray, gathered: TypedArray): Promise<void>;
}
