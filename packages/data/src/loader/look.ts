import type { ImageDataset } from '../dataset.ts';
import { runAll } from './eval.ts';
import type { Look } from './job.ts';
import type { Pool } from './pool.ts';

/** Images in a message. */
const BATCH = 4;

/**
 * The size of some images and whether they have a colour, damaged ones left out.
 * @param pool who decodes them
 * @throws what decoding throws, except for damaged images
 */
export async function lookAtImages(
  dataset: ImageDataset,
  indices: ArrayLike<number>,
  pool: Pool,
): Promise<Look[]> {
  const job = { mean: [], std: [], make: { kind: 'look' } } as const;
  const looks: Look[] = [];
  for await (const made of runAll(dataset, Int32Array.from(indices), job, { pool, batch: BATCH }))
    looks.push(...made.looks!);
  return looks;
}
