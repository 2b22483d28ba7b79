/** Positions of a ViT in a foreign file: here they are fixed and no part of the weights. */
import { CheckpointError, say, settingRef, type Tensor } from '@moco-ts/core';
import { sinCosPositions } from '@moco-ts/encoders';

/**
 * The square grid of positions [1, tokens, dim], and how many stand before it: 1 for the class token, or none; undefined when it
 * is neither.
 */
export function gridOf(
  shape: readonly number[],
): { readonly side: number; readonly prefix: 0 | 1 } | undefined {
  const [one, tokens = 0] = shape;
  if (shape.length !== 3 || one !== 1 || tokens < 1) return undefined;
  for (const prefix of [1, 0] as const) {
    const side = Math.sqrt(tokens - prefix);
    if (side >= 1 && Number.isInteger(side)) return { side, prefix };
  }
  return undefined;
}

/** More than bfloat16 rounds a sine by (2e-3), and far less than learned positions differ by. */
const tolerance = 5e-3;

/**
 * Compares a file's `pos_embed` with the fixed ones.
 * @returns what to tell the user
 * @throws CheckpointError when they are others and not to be ignored
 */
export function checkPositions(
  file: string,
  positions: Tensor | undefined,
  { ignorePositions = false }: { readonly ignorePositions?: boolean },
): string[] {
  if (positions === undefined)
    return ['it has no positions (pos_embed); they are the fixed ones of MoCo v3 here'];
  const difference = differenceFromFixed(positions);
  const amount = Number.isFinite(difference) ? `, by up to ${difference.toPrecision(2)}` : '';
  if (difference <= tolerance) return [`its positions are the fixed ones${difference > 0 ? amount : ''}`];
  if (ignorePositions)
    return [
      `its positions were left out and are not the fixed ones${amount}: its features are not the same here`,
    ];
  throw new CheckpointError(
    say`${file}: its positions (pos_embed) are not the fixed sines and cosines of MoCo v3${amount}, so it would have other features here; take it all the same, for example to train it further, by ${settingRef('ignorePositions', undefined, 'moco import')}`,
  );
}

/** Whether positions are others than the fixed ones. */
export const areLearned = (positions: Tensor): boolean => !(differenceFromFixed(positions) <= tolerance);

/** The largest difference; infinite for another shape. */
function differenceFromFixed({ shape, data }: Tensor): number {
  const [, , dim = 0] = shape;
  const grid = gridOf(shape);
  if (grid?.prefix !== 1 || dim % 4 !== 0) return Number.POSITIVE_INFINITY;
  const fixed = sinCosPositions(dim, grid.side);
  return fixed.reduce((most, value, i) => {
    const difference = Math.abs(value - data[i]!);
    return difference <= most ? most : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }, 0);
}

/** The fixed positions as PyTorch's programs keep them: [1, grid^2 + 1, dim]. */
export function positionsTensor(dim: number, grid: number): Tensor {
  return { shape: [1, grid ** 2 + 1, dim], dtype: 'float32', data: sinCosPositions(dim, grid) };
}

/**
 * Learned positions for another number of patches, as timm's `resample_abs_pos_embed` makes them: bicubic, with antialiasing where
 * there are fewer; what stands before the grid stays.
 * @param shape [1, tokens, dim]
 * @returns undefined when it has another number before the grid, or another dim
 */
export function resampledPositions(
  { shape: given, data }: Tensor,
  shape: readonly number[],
): Tensor | undefined {
  const [from, to] = [gridOf(given), gridOf(shape)];
  const dim = given[2]!;
  if (!from || !to || from.prefix !== to.prefix || shape[2] !== dim) return undefined;
  const weights = cubicWeights(from.side, to.side);
  const start = from.prefix * dim;
  const out = new Float32Array(start + to.side ** 2 * dim);
  out.set((data as Float32Array).subarray(0, start));
  // Along rows, then along columns: [side, side, dim] to [side, side', dim] to [side', side', dim].
  const rows = new Float32Array(from.side * to.side * dim);
  for (let row = 0; row < from.side; row++)
    for (const [column, taps] of weights.entries())
      for (const [source, weight] of taps)
        accumulate(rows, row * to.side + column, data, start, row * from.side + source, weight, dim);
  for (const [row, taps] of weights.entries())
    for (let column = 0; column < to.side; column++)
      for (const [source, weight] of taps)
        accumulate(
          out.subarray(start),
          row * to.side + column,
          rows,
          0,
          source * to.side + column,
          weight,
          dim,
        );
  return { shape: [...shape], dtype: 'float32', data: out };
}

/** out[to] += weight * data[from], of vectors. */
function accumulate(
  out: Float32Array,
  to: number,
  data: ArrayLike<number>,
  start: number,
  from: number,
  weight: number,
  dim: number,
): void {
  for (let i = 0; i < dim; i++) out[to * dim + i]! += weight * data[start + from * dim + i]!;
}

/** For each place of the new side, the old places and their weights: PyTorch's `bicubic` with `antialias` (Keys, a = -1/2). */
function cubicWeights(from: number, to: number): [place: number, weight: number][][] {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - 2 * stretch + 0.5));
    const end = Math.min(from, Math.floor(centre + 2 * stretch + 0.5));
    const raw = Array.from({ length: end - first }, (_, k) => cubic((first + k + 0.5 - centre) / stretch));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return raw.map((weight, k) => [first + k, weight / total]);
  });
}

function cubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}
