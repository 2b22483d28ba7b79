import type { DatasetSpec, ImageDataset, RawImages, Split } from '../dataset.ts';
import { decodeRaw } from '../decode.ts';

/** A data set whose images lie uncompressed in memory, shared with the threads. */
export function rawDataset(
  name: string,
  split: Split,
  data: string,
  raw: RawImages,
  labels?: Uint8Array,
  classes?: readonly string[],
): ImageDataset {
  const source: DatasetSpec = { data, split };
  return {
    name,
    length: raw.length,
    ...(labels === undefined || classes === undefined ? {} : { classes }),
    label: (index) => labels?.[index],
    id: (index) => `${split}/${index}`,
    decode: async (index) => decodeRaw(raw, index),
    source,
    share: () => ({ kind: 'raw', ...raw }),
  };
}
