/** The geometry of a filter gradient as a convolution over lanes: its chunks, and dy as their filter. See filter-grad.ts. */
import type { BlockedLowering } from './lowering.ts';
import { gatherRows } from './rows.ts';

/** One gradient's geometry. A lane is one row tile of dy in one image; lanes fill whole blocks. */
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
  /** Row tiles of an image: more than one where the images alone don't fill blocks. */
  readonly rowTiles: number;
  /** Rows of dy in a tile; the last tile's may reach past the image. */
  readonly tileRows: number;
}

/** A part of the sum over lanes and their rows. */
export interface Chunk {
  readonly firstLane: number;
  readonly lanes: number;
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * Lanes times positions of dy in one chunk: 64 filters of it are 1 MiB, which stays in a core's L2 cache
 * while every channel's images pass by. Without chunks the whole of dy streams from memory for each channel and row.
 */
const chunkPositions = 4096;

export function chunks({ batch, rowTiles, tileRows, ow }: Geometry, block: number): Chunk[] {
  const blocks = (batch * rowTiles) / block;
  const perChunk = Math.max(1, Math.floor(chunkPositions / (block * tileRows * ow)));
  const rows = Math.max(1, Math.min(tileRows, Math.floor(chunkPositions / (block * ow))));
  const list: Chunk[] = [];
  for (let b = 0; b < blocks; b += perChunk)
    for (let row = 0; row < tileRows; row += rows)
      list.push({
        firstLane: b * block,
        lanes: Math.min(perChunk, blocks - b) * block,
        firstRow: row,
        rows: Math.min(rows, tileRows - row),
      });
  return list;
}

/** A chunk of dy [N, O, OH, OW] as a filter of O outputs and its lanes as inputs. */
export function gradientByChannel(
  lowering: BlockedLowering,
  dy: number,
  geometry: Geometry,
  chunk: Chunk,
): string {
  const { block } = lowering;
  const { filters, ow, rowTiles, tileRows } = geometry;
  const key = `lanes by channel ${rowTiles} ${Object.values(chunk)}`;
  return lowering.once(`${dy}: ${key}`, () => {
    const rows = gatherRows(lowering, dy, key, (put) => {
      for (let o = 0; o < filters / block; o++)
        for (let first = chunk.firstLane; first < chunk.firstLane + chunk.lanes; first += block)
          for (let row = chunk.firstRow; row < chunk.firstRow + chunk.rows; row++)
            for (let column = 0; column < ow; column++)
              for (let lane = first; lane < first + block; lane++)
                put(Math.floor(lane / rowTiles), o, (lane % rowTiles) * tileRows + row, column);
    });
    return lowering.reshape(rows, [filters, chunk.lanes, chunk.rows, ow]);
  });
}
