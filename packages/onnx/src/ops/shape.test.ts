/** The batch of an exported encoder is free: no rule may write it down. */
import { BackendError, defineEncoder, reshape, type Traced, transpose } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { exportEncoder } from '../export.ts';
import { ModelProto } from '../proto.ts';

/** The int64 vectors that an encoder of images [N, 3, 2, 2] without weights is exported with. */
function shapesIn(featureDim: number, forward: (x: Traced, batch: number) => Traced): string[] {
  const encoder = defineEncoder({
    name: 'shapes',
    inputShape: () => [3, 2, 2],
    featureDim: () => featureDim,
    init: () => ({}),
    forward: (_context, _params, x) => forward(x, x.shape[0]!),
  });
  const bytes = exportEncoder({ model: { encoder, encoderConfig: { imageSize: 2 } }, params: {} });
  const { graph } = ModelProto.toObject(ModelProto.decode(bytes), { longs: Number, arrays: true }) as {
    graph: { initializer: { dims: number[]; rawData: Uint8Array }[] };
  };
  return graph.initializer.map(({ rawData }) => new BigInt64Array(Uint8Array.from(rawData).buffer).join());
}

describe('a free batch', () => {
  it('keeps its place', () => {
    expect(shapesIn(12, (x, batch) => reshape(x, [batch, 12]))).toEqual(['0,12']);
  });
  it('may be merged with the axes behind it, and parted from them', () => {
    const shapes = shapesIn(12, (x, batch) => {
      const rows = reshape(x, [batch * 6, 2]);
      return reshape(reshape(transpose(reshape(rows, [batch, 6, 2]), [0, 2, 1]), [batch * 3, 4]), [
        batch,
        12,
      ]);
    });
    expect(shapes.every((shape) => /^-1,/.test(shape) || /^0,/.test(shape))).toBe(true);
    expect(shapes).toContain('-1,2');
    expect(shapes).toContain('-1,6,2');
  });
  it('is refused behind another axis', () => {
    expect(() =>
      shapesIn(12, (x, batch) => reshape(transpose(reshape(x, [batch, 12])), [2, 6 * batch])),
    ).toThrow(BackendError);
  });
});
