import { DataError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import type { ImageDataset, RgbImage } from './dataset.ts';
import { createLoader } from './loader/create.ts';
import { defineDataset, type OwnDataset } from './own.ts';
import { views } from './views/config.ts';

const side = 12;

/** Gradients, each of its own slope. */
function image(index: number): RgbImage {
  const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * (index + 3) + 40 * index) & 255);
  return { width: side, height: side, data };
}

function own(damaged: readonly number[] = []): OwnDataset & { decoded: number[] } {
  const decoded: number[] = [];
  return {
    name: 'slopes',
    length: 20,
    decoded,
    decode: async (index) => {
      decoded.push(index);
      if (damaged.includes(index)) throw new DataError(`slope ${index} is damaged`);
      return image(index);
    },
  };
}

async function epoch(dataset: ImageDataset, workers: number) {
  const loader = createLoader(dataset, {
    batch: 4,
    size: 8,
    views: views['aug-plus']({ size: 8 }),
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    seed: 5,
    workers,
  });
  const batches: { indices: number[]; views: Float32Array[] }[] = [];
  try {
    for await (const { indices, views } of loader.epoch(0)) batches.push({ indices: [...indices], views });
    return { batches, skipped: loader.skipped.map(({ id, reason }) => `${id}: ${reason}`) };
  } finally {
    await loader.close();
  }
}

describe.each([
  ['kept in the cache', undefined],
  ['sent each time', 2 ** 30],
])('images %s', (_, pretended) => {
  // A set is cached if it is small, judged by its length: one that claims to be larger is not.
  const make = (damaged: readonly number[] = []) => {
    const set = own(damaged);
    const dataset = defineDataset(set);
    if (pretended === undefined) return { set, dataset };
    let asked = 0;
    const large = async (index: number) => {
      // The eight probes of the cache see an image of a gigabyte.
      const probe = asked++ < 8;
      const made = await dataset.decode(index);
      return probe ? { ...made, data: { length: pretended } as unknown as Uint8Array } : made;
    };
    return { set, dataset: { ...dataset, decode: large } };
  };

  it('make the same views in this thread and in others', async () => {
    const [here, there] = [await epoch(make().dataset, 0), await epoch(make().dataset, 2)];
    expect(here.batches).toHaveLength(5);
    expect(there).toEqual(here);
  });

  it('leave damaged ones out alike', async () => {
    const [here, there] = [await epoch(make([1, 7]).dataset, 0), await epoch(make([1, 7]).dataset, 2)];
    expect(here.skipped.sort()).toEqual(['1: slope 1 is damaged', '7: slope 7 is damaged']);
    expect({ ...there, skipped: [...there.skipped].sort() }).toEqual({ ...here });
  });
});

it('a small set of a program is decoded once', async () => {
  const set = own();
  await epoch(defineDataset(set), 2);
  // Eight probes, then each image.
  expect([...set.decoded.slice(8)].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

it('an error of decode that is no DataError ends the reading', async () => {
  const broken = { ...own(), decode: () => Promise.reject(new TypeError('a defect')) };
  for (const workers of [0, 1])
    await expect(epoch(defineDataset(broken), workers)).rejects.toThrow('a defect');
});

it('a set with a wrong name, length or image is refused in one line', async () => {
  const wrong: [Partial<OwnDataset>, string][] = [
    [{ name: '' }, 'a data set should have a name'],
    [{ length: 0 }, 'slopes: its length is 0; give the number of images, from 1'],
    [{ decode: undefined as never }, 'slopes: a data set should have decode(index)'],
  ];
  for (const [change, message] of wrong)
    expect(() => defineDataset({ ...own(), ...change })).toThrow(message);
  const grey = defineDataset({ ...own(), decode: () => ({ ...image(0), data: new Uint8Array(144) }) });
  await expect(grey.decode(2)).rejects.toThrow(
    'slopes: decode(2) gave 144 bytes for 12 x 12 pixels; RGB has 432',
  );
});
