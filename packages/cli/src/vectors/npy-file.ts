/** A `.npy` of vectors and, beside it, a `.ids.json`: `{"moco": ..., "crc32": ..., "ids": [...]}`. */
import { crc32 } from 'node:zlib';
import { DataError } from '@moco-ts/core';
import { textIfThere, withSource } from '@moco-ts/node';
import { hexadecimal } from '@moco-ts/run';
import { type NpyHeader, npyFront, npyValues, parseNpyHeader } from './npy.ts';
import { checkVectors, parseInfo, type VectorFile } from './opened.ts';

/** Where the ids of a `.npy` are. */
export const idsPath = (path: string) => path.replace(/\.npy$/i, '.ids.json');

/** What the `.ids.json` holds; of files by others at least the ids. */
interface Sidecar {
  readonly moco?: unknown;
  /** Of the values' bytes: the two files must belong together. */
  readonly crc32?: string;
  readonly ids: readonly string[];
}

/** @throws UserError */
export async function openNpy(path: string): Promise<VectorFile> {
  const header = await readNpyHeader(path);
  const side = await readSidecar(path, header);
  const info = side.moco === undefined ? undefined : parseInfo(side.moco, idsPath(path));
  return {
    path,
    rows: header.rows,
    dim: header.dim,
    ...(info && { info }),
    ids: async () => side.ids,
    vectors: () => readNpy(path, side.crc32),
  };
}

function readNpyHeader(path: string): Promise<NpyHeader> {
  return withSource(path, async (source) => {
    const front = await source.read(0, Math.min(npyFront, source.size));
    return parseNpyHeader(front, source.size, path);
  });
}

const chunkBytes = 2 ** 24;

/**
 * The values of a `.npy` of [rows, dim] as float32.
 * @param checksum of the values' bytes
 * @throws UserError for anything else, and for values that are not finite
 */
export async function readNpy(path: string, checksum?: string): Promise<Float32Array> {
  const { rows, dim, width, offset } = await readNpyHeader(path);
  return withSource(path, async (source) => {
    const values = new Float32Array(rows * dim);
    const step = chunkBytes / width;
    let sum = 0;
    for (let at = 0; at < values.length; at += step) {
      const count = Math.min(step, values.length - at);
      const bytes = await source.read(offset + at * width, count * width);
      if (bytes.length < count * width) throw new DataError(`${path} became shorter while it was read`);
      sum = crc32(bytes, sum);
      values.set(npyValues(bytes, width), at);
    }
    if (checksum !== undefined && hexadecimal(sum) !== checksum)
      throw new DataError(
        `${path} is not what ${idsPath(path)} belongs to: damaged, or one of the two was replaced`,
      );
    checkVectors(values, dim, path);
    return values;
  });
}

async function readSidecar(path: string, { rows }: NpyHeader): Promise<Sidecar> {
  const name = idsPath(path);
  const text = await textIfThere(name);
  if (text === undefined)
    throw new DataError(`${name} is missing: it holds the ids of ${path}, as {"ids": ["...", ...]}`, {
      code: 'file-missing',
    });
  let side: Partial<Sidecar> | null;
  try {
    side = JSON.parse(text) as Partial<Sidecar> | null;
  } catch {
    throw new DataError(`${name} is damaged: it is no JSON`);
  }
  const ids = side?.ids;
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string'))
    throw new DataError(`${name} holds no {"ids": ["...", ...]}`);
  if (ids.length !== rows)
    throw new DataError(`${name} has ${ids.length} ids for the ${rows} vectors of ${path}`);
  return side as Sidecar;
}
