import { join } from 'node:path';
import { memoryCommunicators } from '@moco-ts/backend-testing';
import type { ImageDataset } from '@moco-ts/data';
import { describe, expect, it } from 'vitest';
import { agreementOn, sharedSkips } from './agreement.ts';
import { planRun } from './plan.ts';
import { alone, FailedElsewhere, gathered, ofRankZero, together, type World } from './world.ts';

const worlds = (size: number): World[] =>
  memoryCommunicators(size).map((communicator, rank) => ({ rank, size, communicator }));
const onEach = <T>(size: number, act: (world: World) => Promise<T>) =>
  Promise.allSettled(worlds(size).map((world) => act(world)));
const values = <T>(results: readonly PromiseSettledResult<T>[]) =>
  results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason));

describe('processes that share a run', () => {
  it('hear what each has to say, of any length', async () => {
    const said = ['', 'ä'.repeat(300), { a: [1] }];
    const heard = await onEach(3, (world) => gathered<unknown>(world, said[world.rank]));
    expect(values(heard)).toEqual([said, said, said]);
    expect(await gathered(alone, 'me')).toEqual(['me']);
  });

  it('have what rank 0 did, which it alone does', async () => {
    let calls = 0;
    const results = await onEach(3, (world) => ofRankZero(world, async () => ({ call: ++calls })));
    expect(values(results)).toEqual([{ call: 1 }, { call: 1 }, { call: 1 }]);
  });

  it('go on from what they do together only if all can: the first that failed says why', async () => {
    const results = await onEach(3, (world) =>
      together(world, async () => {
        if (world.rank > 0) throw new Error(`fault of ${world.rank}`);
        return 'fine';
      }),
    );
    expect(values(results)).toEqual([
      new FailedElsewhere('rank 1 failed'),
      new Error('fault of 1'),
      new FailedElsewhere('rank 1 failed'),
    ]);
    const alike = await onEach(2, (world) => ofRankZero(world, async () => Promise.reject(new Error('no'))));
    expect(values(alike)).toEqual([new Error('no'), new FailedElsewhere('rank 0 failed')]);
    await expect(together(alone, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  it('go on with the run that rank 0 settles, and are in step behind it', async () => {
    const notes: string[] = [];
    const flags = {
      data: 'emoji',
      method: 'moco-v2',
      imageSize: 16,
      batchSize: 16,
      mocoK: 64,
      select: 'retrieval',
    } as const;
    const results = await onEach(2, async (world) => {
      const tell = (text: unknown) => void notes.push(`${world.rank} ${text}`);
      const { config, folder, dataset } = await planRun({ flags }, { warn: tell, note: tell }, world);
      return gathered(world, [config, folder, dataset.length]);
    });
    const [first, second] = values(results) as unknown[][];
    expect(first![0]).toEqual(first![1]);
    expect(second).toEqual(first);
    expect(first![0]).toMatchObject([flags, join('runs', 'emoji-moco-v2-resnet50'), expect.any(Number)]);
    expect(notes.filter((note) => note.startsWith('1'))).toEqual([]);
  });

  it('take the steps that rank 0 takes, at its progress', async () => {
    const results = await onEach(2, async (world) => {
      const { agree } = agreementOn(world, { requested: false });
      const asked = world.rank === 0 ? [true, 0.25] : [false, 0.75];
      const first = await agree!({ goesOn: asked[0] as boolean, progress: asked[1] as number });
      const second = await agree!({ goesOn: world.rank > 0, progress: 0.5 });
      return [first, second];
    });
    const both = [
      { goesOn: true, progress: 0.25 },
      { goesOn: false, progress: 0.5 },
    ];
    expect(values(results)).toEqual([both, both]);
    expect(agreementOn(alone, { requested: false })).toEqual({});
  });

  it('stop behind the same step, whichever of them is asked to', async () => {
    const stops = [0, 1, 2].map(() => ({ requested: false }));
    const results = await onEach(3, async (world) => {
      const { agree } = agreementOn(world, stops[world.rank]!);
      const goes: boolean[] = [];
      for (let step = 0; step < 3; step++) {
        if (step === 1 && world.rank === 2) stops[2]!.requested = true;
        goes.push((await agree!({ goesOn: true, progress: 0 })).goesOn);
        if (!goes.at(-1)) break;
      }
      return goes;
    });
    expect(values(results)).toEqual(Array(3).fill([true, false]));
    expect(stops).toEqual(Array(3).fill({ requested: true }));
  });

  it('leave out what any of them met, each image once, until all of it is too much', async () => {
    const dataset = { name: 'photos', length: 20 } as ImageDataset;
    const heard: string[][] = [[], []];
    const results = await onEach(2, async (world) => {
      const skips = sharedSkips(world, dataset, 3, ({ id }) => heard[world.rank]!.push(id));
      for (const id of world.rank === 0 ? ['a', 'b'] : ['b', 'c'])
        skips.onSkip({ id, reason: `${id} is cut` });
      await skips.share();
      await skips.share();
      if (world.rank === 1) skips.onSkip({ id: 'd', reason: 'd is cut' });
      await skips.share();
    });
    expect(heard).toEqual([
      ['a', 'b', 'c', 'd'],
      ['b', 'c', 'a', 'd'],
    ]);
    expect(values(results).map(String)).toEqual([
      'DataError: photos: 4 damaged images, more than the 3 allowed; the last: d is cut',
      'FailedElsewhere: too many images are damaged',
    ]);
  });
});
