/** Images for a report: the views that the network saw, and neighbours by its features. */
import { type Backend, createExtractor, DataError, nearestNeighbours, type Params, rng } from '@moco-ts/core';
import {
  createGate,
  createLoader,
  encodePng,
  type ImageDataset,
  imageOf,
  loadEval,
  type RgbImage,
  resize,
} from '@moco-ts/data';
import { modelConfig, type RunConfig, viewsOf } from '@moco-ts/run';
import { escapeHtml } from '../html/page.ts';

/** Pixels of the longer side of a thumbnail. */
const SIDE = 72;
const PAIRS = 8;
const QUERIES = 8;
const NEIGHBOURS = 6;
/** Neighbours are searched among this many evenly spaced images. */
const GALLERY = 2000;
const BATCH = 64;

/** An `img` with its bytes. */
export async function imageTag(image: RgbImage, alt: string): Promise<string> {
  const scale = SIDE / Math.max(image.width, image.height);
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const small = scale < 1 ? resize(image, width!, height!) : image;
  const png = Buffer.from(await encodePng(small)).toString('base64');
  return `<img src="data:image/png;base64,${png}" width="${width}" height="${height}" alt="${escapeHtml(alt)}">`;
}

/** Decodes in flight: each may hold a whole image. */
const decodes = createGate(4);

/** An image of the set, decoded no larger than needed. */
const thumbnail = (dataset: ImageDataset, index: number) =>
  decodes.run(1, async () => imageTag(await dataset.decode(index, { within: 4 * SIDE }), dataset.id(index)));

/** The views of the first images of the first epoch, exactly those of the run; fewer where few are readable. */
export async function viewGrid(config: RunConfig, dataset: ImageDataset): Promise<string> {
  for (let batch = Math.min(PAIRS, dataset.length); ; batch--) {
    try {
      return await gridOf(config, dataset, batch);
    } catch (error) {
      if (!(error instanceof DataError) || batch === 1) throw error;
    }
  }
}

async function gridOf(config: RunConfig, dataset: ImageDataset, batch: number): Promise<string> {
  const { imageSize: size, mean, std, seed } = config;
  const views = viewsOf(config);
  const loader = createLoader(dataset, {
    batch,
    size,
    views,
    mean,
    std,
    seed,
    workers: 0,
    onSkip: () => undefined,
  });
  try {
    for await (const { indices, views: made } of loader.epoch(0)) {
      const rows = [...indices].map(async (index, row) => {
        const name = dataset.id(index);
        const shown = made.map((view, v) => {
          const planes = view.subarray(row * 3 * size * size, (row + 1) * 3 * size * size);
          return imageTag(imageOf(planes, { size, mean, std }), `view ${v + 1} of ${name}`);
        });
        const original = await thumbnail(dataset, index);
        return `<tr><td>${original}</td>${(await Promise.all(shown)).map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
      });
      const heads = ['image', ...views.map((_, v) => `view ${v + 1}`)];
      return `<div class="scroll"><table class="images"><thead><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr></thead>
<tbody>${(await Promise.all(rows)).join('\n')}</tbody></table></div>`;
    }
  } finally {
    await loader.close();
  }
  return '';
}

/** Some images, drawn by the run's seed, each with its nearest ones by cosine. */
export async function neighbourGrid(
  config: RunConfig,
  dataset: ImageDataset,
  params: Params,
  backend: Backend,
): Promise<string> {
  const { imageSize: size, mean, std, seed } = config;
  const count = Math.min(GALLERY, dataset.length);
  const all = Int32Array.from({ length: count }, (_, i) => Math.floor((i * dataset.length) / count));
  const extractor = await createExtractor(backend, modelConfig(config), params, BATCH);
  const { dim } = extractor;
  const indices: number[] = [];
  const features = new Float32Array(count * dim);
  try {
    const options = { size, mean, std, indices: all, batch: BATCH, onSkip: () => undefined };
    for await (const { indices: own, data } of loadEval(dataset, options)) {
      features.set(await extractor.extract(data), indices.length * dim);
      indices.push(...own);
    }
  } finally {
    await extractor.dispose();
  }
  const bank = { features: features.subarray(0, indices.length * dim), dim };
  const queries = rng(seed, 'report/queries').permutation(indices.length).slice(0, QUERIES);
  const asked = new Float32Array(queries.length * dim);
  queries.forEach((query, i) => {
    asked.set(features.subarray(query * dim, (query + 1) * dim), i * dim);
  });
  const nearest = await nearestNeighbours(
    backend,
    { features: asked, dim },
    bank,
    NEIGHBOURS,
    (i) => queries[i],
  );
  const cell = async (row: number, text: string) => {
    const index = indices[row]!;
    return `<td>${await thumbnail(dataset, index)}<br><span class="soft">${text}</span></td>`;
  };
  const lines = await Promise.all(
    nearest.map(async (neighbours, i) => {
      const cells = [
        cell(queries[i]!, '&nbsp;'),
        ...neighbours.map(({ row, similarity }) => cell(row, similarity.toFixed(2))),
      ];
      return `<tr>${(await Promise.all(cells)).join('')}</tr>`;
    }),
  );
  const head = `<th>image</th><th colspan="${NEIGHBOURS}">nearest of ${count}, by cosine</th>`;
  return `<div class="scroll"><table class="images"><thead><tr>${head}</tr></thead>
<tbody>${lines.join('\n')}</tbody></table></div>`;
}
