/** What a network gives and holds is finite, or it is refused: no measure is taken of, and nothing saved by, what is not. */
import { allFinite, DivergedError, say, settingRef, type Tensor } from '@moco-ts/core';

/** @throws DivergedError telling how many rows [N, width] are not finite */
export function expectFinite(rows: Float32Array, width: number, what: 'features' | 'logits'): void {
  if (allFinite(rows)) return;
  const count = rows.length / width;
  const bad = Array.from({ length: count }, (_, i) => rows.subarray(i * width, (i + 1) * width)).filter(
    (row) => !allFinite(row),
  ).length;
  throw new DivergedError(
    say`the ${what} of ${bad} of ${count} images are not finite: the training of this network diverged; train with a lower ${settingRef('lr')}, or take an earlier checkpoint`,
  );
}

/** What is wrong with the values of a state, by the first tensor that has it; undefined when nothing is. */
export function faultOf(tensors: Readonly<Record<string, Tensor>>): string | undefined {
  for (const [name, { data }] of Object.entries(tensors)) {
    if (data instanceof Float32Array && !allFinite(data)) return `"${name}" holds values that are not finite`;
    if (name.endsWith('running_var') && data.some((value) => value < 0))
      return `"${name}" holds a negative variance`;
  }
  return undefined;
}
