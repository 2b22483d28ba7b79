import { type Batch, defineDataset, type Pixels } from '@moco-ts/data';
import { describe, expect, it } from 'vitest';
import { lessonsByImage } from './taught.ts';
import type { Teacher } from './teacher.ts';

/** Images of one grey each: the number of the image. */
const images = defineDataset({
  name: 'greys',
  length: 20,
  decode: async (index: number) => ({ width: 4, height: 4, data: new Uint8Array(48).fill(index) }),
});

/** A teacher whose feature is the grey of an image. */
function taughtBy(stop: { requested: boolean }, onImages: () => void = () => undefined) {
  const sizes: number[] = [];
  const lines: string[] = [];
  const teacher: Teacher = {
    ...{ dim: 1, size: 2, numbers: 'bytes', checksum: '' },
    embed: async (pixels) => {
      const rows = pixels.length / 12;
      sizes.push(rows);
      onImages();
      return Float32Array.from({ length: rows }, (_, row) => pixels[row * 12]!);
    },
    close: async () => undefined,
  };
  const waiting = { stop, note: (line: string) => lines.push(line) };
  return { sizes, lines, lessons: lessonsByImage(teacher, images, { batchSize: 8 }, {}, waiting) };
}

describe('a teacher that sees each image once', () => {
  it('sees as many at once as a step has, and tells how far it is', async () => {
    const { sizes, lines, lessons } = taughtBy({ requested: false });
    const indices = Int32Array.of(19, 0, 8, 7, 3, 2, 1, 16);
    const batch: Batch<Pixels> = { indices, views: [], waitMs: 0 };
    const taught = [];
    for await (const { teacher } of (await lessons).of([batch] as never)) taught.push(...teacher!);
    expect(taught).toEqual([...indices]);
    expect(sizes).toEqual([8, 8, 4]);
    expect(lines).toEqual(['The teacher has seen 8 of 20 images', 'The teacher has seen 16 of 20 images']);
  });

  it('looks at no more of them after a stop', async () => {
    const stop = { requested: false };
    const { sizes, lessons } = taughtBy(stop, () => {
      stop.requested = true;
    });
    await lessons;
    expect(sizes).toEqual([8]);
  });
});
