/** Positions of a ViT in a foreign file: here they are fixed and no part of the weights. */
import { CheckpointError, type Params, say, settingRef, type Tensor } from '@moco-ts/core';
import { sinCosPositions } from '@moco-ts/encoders';

/** More than bfloat16 rounds a sine by (2e-3), and far less than learned positions differ by. */
const tolerance = 5e-3;

/**
 * Compares a file's `pos_embed` with the fixed ones.
 * @returns what to tell the user
 * @throws CheckpointError when they are others and not to be ignored
 */
export function checkPositions(
  file: string,
  { pos_embed: positions }: Params,
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
    say`${file}: its positions (pos_embed) are not the fixed sines and cosines of MoCo v3${amount}, so it would have other features here; take it all the same, for example to train it further, by ${settingRef('ignorePositions')}`,
  );
}

/** The largest difference; infinite for another shape. */
function differenceFromFixed({ shape, data }: Tensor): number {
  const [one, tokens = 0, dim = 0] = shape;
  const grid = Math.sqrt(tokens - 1);
  if (shape.length !== 3 || one !== 1 || !Number.isInteger(grid) || dim % 4 !== 0)
    return Number.POSITIVE_INFINITY;
  const fixed = sinCosPositions(dim, grid);
  return fixed.reduce((most, value, i) => {
    const difference = Math.abs(value - data[i]!);
    return difference <= most ? most : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }, 0);
}

/** The fixed positions as PyTorch's programs keep them: [1, grid^2 + 1, dim]. */
export function positionsTensor(dim: number, grid: number): Tensor {
  return { shape: [1, grid ** 2 + 1, dim], dtype: 'float32', data: sinCosPositions(dim, grid) };
}
