import type { Backend, ReducedDType } from '@moco-ts/core';

export interface KitOptions {
  /** What the suites are called. */
  readonly name: string;
  /** The largest error of one op, as a part of the result's largest magnitude: 2e-5 for float32. */
  readonly tolerance: number;
  /** The types of two bytes that values between nodes may have. Default none. */
  readonly reduced?: readonly ReducedDType[];
  /** The backend says that it does not train: forward graphs alone are run. */
  readonly inferenceOnly?: boolean;
  /** An op gives the same bits wherever it stands in a graph: activations that are computed again are those that were kept. */
  readonly repeatsBits?: boolean;
}

/** How a suite gets at the backend, which exists only while tests run. */
export type Subject = () => Backend;
