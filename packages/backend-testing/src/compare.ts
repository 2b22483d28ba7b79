/** Comparison of a backend's results with the oracle's. */
import { describe as describeType, type Feed, sameShape, type Tensor, type TensorType } from '@moco-ts/core';
import { expect } from 'vitest';

export interface Closeness {
  /** The largest error allowed, as a part of the magnitude. */
  readonly tolerance: number;
  /** The least that counts as magnitude; the largest absolute value expected where that is more. */
  readonly scale?: number | undefined;
}

/**
 * Fails the test unless a tensor has the given type, is bit for bit equal where it is no float32, and else is close.
 * Infinite and undefined values must be met exactly.
 * @returns the largest error as a part of the allowed one, 0 to 1
 */
export function expectClose(
  actual: Tensor | undefined,
  expected: Feed,
  type: TensorType,
  name: string,
  { tolerance, scale }: Closeness,
): number {
  if (!actual) expect.fail(`the output "${name}" is missing`);
  expect(describeType(actual), `the type of "${name}"`).toBe(describeType(type));
  expect(sameShape(actual.shape, expected.shape), `the shape of "${name}"`).toBe(true);
  expect(actual.data.length, `the length of "${name}"`).toBe(expected.data.length);
  const exact = type.dtype !== 'float32';
  let magnitude = scale ?? 0;
  for (let i = 0; i < expected.data.length; i++) {
    const size = Math.abs(expected.data[i]!);
    if (Number.isFinite(size) && size > magnitude) magnitude = size;
  }
  const allowed = exact ? 0 : tolerance * magnitude;
  let worst = 0;
  let where = -1;
  for (let i = 0; i < expected.data.length; i++) {
    const [a, e] = [actual.data[i]!, expected.data[i]!];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const error = Number.isFinite(e) && Number.isFinite(a) ? Math.abs(a - e) : Number.POSITIVE_INFINITY;
    if (where < 0 || error > worst) [worst, where] = [error, i];
  }
  if (worst > allowed)
    expect.fail(
      `"${name}" at element ${where} of [${actual.shape.join(', ')}] is ${actual.data[where]}, ` +
        `should be ${expected.data[where]}: off by ${worst.toExponential(2)}, allowed ${allowed.toExponential(2)}`,
    );
  return worst === 0 ? 0 : worst / allowed;
}

/** Fails the test unless two results have the same names, types and bits. */
export function expectSameBits(actual: Record<string, Tensor>, expected: Record<string, Tensor>): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, tensor] of Object.entries(expected)) {
    expect(describeType(actual[name]!), name).toBe(describeType(tensor));
    expect(bytes(actual[name]!), name).toEqual(bytes(tensor));
  }
}

function bytes({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
}

/** A copy that nobody else holds. */
export function clone(tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
  );
}
