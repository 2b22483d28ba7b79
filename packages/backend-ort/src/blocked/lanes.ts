/** The geometry of a filter gradient as a convolution over lanes: its chunks, and dY as their filter. See filter-grad.ts. */
import type { BlockedLowering } from './lowering.ts';
import { gatherRows } from './rows.ts';

/** One gradient's geometry. A lane is a band of dY's rows in one image; lanes fill whole blocks. */
export interface Geometry {
  readonly batch: number;
  readonly channels: number;
  readonly filters: number;
  readonly oh: number;
  readonly ow: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padding: number;
  /** Bands of an image: more than one where the images alone don't fill blocks. */
  readonly bands: number;
  /** Rows of dY in a band; the last band's may reach past the image. */
  readonly bandRows: number;
}

/** A part of the sum over lanes and their rows. */
export interface Chunk {
  readonly firstLane: number;
  readonly lanes: number;
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * Lanes times positions of dY in one chunk: 64 filters of it are 1 MiB, which stays in a core's second-level cache
 * while every channel's images pass by. Without chunks the whole of dY streams from memory for each channel and row.
 */
const chunkPositions = 4096;

export function chunks({ batch, bands, bandRows, ow }: Geometry, block: number): Chunk[] {
  const blocks = (batch * bands) / block;
  const perChunk = Math.max(1, Math.floor(chunkPositions / (block * bandRows * ow)));
  const rows = Math.max(1, Math.min(bandRows, Math.floor(chunkPositions / (block * ow))));
  const found: Chunk[] = [];
  for (let b = 0; b < blocks; b += perChunk)
    for (let row = 0; row < bandRows; row += rows)
      found.push({
        firstLane: b * block,
        lanes: Math.min(perChunk, blocks - b) * block,
        firstRow: row,
        rows: Math.min(rows, bandRows - row),
      });
  return found;
}

/** A chunk of dY [N, O, OH, OW] as a filter of O outputs and its lanes as inputs. */
export function gradientByChannel(
  lowering: BlockedLowering,
  dy: number,
  geometry: Geometry,
  chunk: Chunk,
): string {
  const { block } = lowering;
  const { filters, ow, bands, bandRows } = geometry;
  const key = `lanes by channel ${bands} ${Object.values(chunk)}`;
  return lowering.once(`${dy}: ${key}`, () => {
    const rows = gatherRows(lowering, dy, key, (put) => {
      for (let o = 0; o < filters / block; o++)
        for (let first = chunk.firstLane; first < chunk.firstLane + chunk.lanes; first += block)
          for (let row = chunk.firstRow; row < chunk.firstRow + chunk.rows; row++)
            for (let column = 0; column < ow; column++)
              for (let lane = first; lane < first + block; lane++)
                put(Math.floor(lane / bands), o, (lane % bands) * bandRows + row, column);
    });
    return lowering.reshape(rows, [filters, chunk.lanes, chunk.rows, ow]);
  });
}
