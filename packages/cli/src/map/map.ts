/** From a set of vectors and its images to the page of a map. */
import { counted, type Neighbour, nearestNeighbours, UserError } from '@moco-ts/core';
import type { ImageDataset } from '@moco-ts/data';
import { openBackend } from '@moco-ts/node';
import { numbersOf, type VectorSet } from '../vectors/set.ts';
import { layout } from './layout.ts';
import { renderMap } from './page.ts';
import { thumbnails } from './thumbnails.ts';

export interface MapSettings {
  readonly title: string;
  readonly seed: number;
  /** Neighbours whose nearness the map keeps. */
  readonly neighbours: number;
  /** Pixels of a thumbnail. */
  readonly thumbnail: number;
  readonly backend: string;
  readonly threads?: number;
  readonly note: (line: string) => void;
  readonly warn: (line: string) => void;
}

/** Neighbours that a click lists. */
const listed = 10;
/** More make a page that is slow to move, and neighbours that are slow to find. */
export const mostImages = 20_000;

/** @throws UserError when there is nothing to place, too much, or none of the images is there any more */
export async function makeMap(set: VectorSet, dataset: ImageDataset, settings: MapSettings): Promise<string> {
  const { ids, dim, vectors, name } = set;
  const { seed, note, warn } = settings;
  if (ids.length < 2)
    throw new UserError(`${name} has ${counted(ids.length, 'vector')}: a map needs two at least`, {
      code: 'data-invalid',
    });
  if (ids.length > mostImages)
    throw new UserError(`${name} has ${ids.length} vectors: a map takes ${mostImages}; give --limit`, {
      code: 'setting-missing',
      setting: 'limit',
    });
  const numberOf = numbersOf(dataset);
  const numbers = ids.map(numberOf);
  const gone = numbers.filter((number) => number < 0).length;
  if (gone === ids.length)
    throw new UserError(`${dataset.name} has none of the images of ${name}: name their folder with --data`, {
      code: 'setting-invalid',
      setting: 'data',
    });
  if (gone > 0) warn(`${gone} of ${counted(ids.length, 'image')} are gone; their places stay empty`);
  const neighbours = await neighboursOf(set, settings);
  note('Placing them ...');
  const places = layout(
    { features: vectors, dim },
    neighbours.map((list) => list.slice(0, settings.neighbours)),
    seed,
  );
  note('Drawing thumbnails ...');
  const sheets = await thumbnails(dataset, numbers, settings.thumbnail);
  const short = (value: number, digits: number) => Number(value.toFixed(digits));
  return renderMap({
    title: settings.title,
    about: `${counted(ids.length, 'image')}, placed by UMAP of ${dim} features each`,
    sheets,
    data: {
      ids,
      places: Array.from(places, (value) => short(value, 5)),
      neighbours: neighbours.map((list) => list.slice(0, listed).map(({ row }) => row)),
      similarities: neighbours.map((list) =>
        list.slice(0, listed).map(({ similarity }) => short(similarity, 3)),
      ),
      ...(dataset.classes && {
        classes: dataset.classes,
        labels: numbers.map((number) => (number < 0 ? -1 : (dataset.label(number) ?? -1))),
      }),
      cell: sheets.cell,
      columns: sheets.columns,
    },
  });
}

async function neighboursOf({ dim, vectors, ids }: VectorSet, settings: MapSettings): Promise<Neighbour[][]> {
  const { backend: name, threads, neighbours } = settings;
  const backend = await openBackend(name, threads === undefined ? {} : { threads });
  try {
    const rows = { features: vectors, dim };
    const k = Math.min(ids.length - 1, Math.max(neighbours, listed));
    return await nearestNeighbours(backend, rows, rows, k, (row) => row);
  } finally {
    await backend.dispose();
  }
}

/** Evenly spaced images of a set, at most `limit`. */
export function thinned(set: VectorSet, limit: number): VectorSet {
  const { ids, dim, vectors } = set;
  if (ids.length <= limit) return set;
  const rows = Array.from({ length: limit }, (_, i) => Math.floor((i * ids.length) / limit));
  const kept = new Float32Array(limit * dim);
  rows.forEach((row, i) => {
    kept.set(vectors.subarray(row * dim, (row + 1) * dim), i * dim);
  });
  return { ...set, ids: rows.map((row) => ids[row]!), vectors: kept };
}
