/**
 * Fixed positions of a square grid of tokens, with a row of zeros in front for the class token (MoCo v3, arXiv 2104.02057,
 * appendix A: sine and cosine in two dimensions, temperature 10000).
 *
 * A token's values are, a quarter each, sin(row w_i), cos(row w_i), sin(column w_i) and cos(column w_i), with
 * w_i = 10000^(-4 i / dim). This is what a PyTorch checkpoint holds as `pos_embed` [1, grid^2 + 1, dim].
 * @param dim a multiple of 4
 * @param grid tokens along a side, numbered row by row
 * @returns [grid^2 + 1, dim], row-major
 */
export function sinCosPositions(dim: number, grid: number): Float32Array {
  const quarter = dim / 4;
  const out = new Float32Array((grid ** 2 + 1) * dim);
  for (let row = 0; row < grid; row++)
    for (let column = 0; column < grid; column++) {
      const start = (row * grid + column + 1) * dim;
      for (let i = 0; i < quarter; i++) {
        const frequency = 10000 ** (-i / quarter);
        out[start + i] = Math.sin(row * frequency);
        out[start + quarter + i] = Math.cos(row * frequency);
        out[start + 2 * quarter + i] = Math.sin(column * frequency);
        out[start + 3 * quarter + i] = Math.cos(column * frequency);
      }
    }
  return out;
}
