import { FailedElsewhere, type JoinedWorld } from '@moco-ts/node';
import { expect, it } from 'vitest';
import { ofWorld } from './of-world.ts';

class Aborted extends Error {}

/** What a process tells and does, in order. */
async function lifeOf(
  rank: number,
  size: number,
  act: () => Promise<number>,
  events: string[] = [],
  grace = 0,
): Promise<string[]> {
  const world: JoinedWorld = {
    ...{ rank, size },
    abort: (code) => {
      events.push(`abort ${code}`);
      throw new Aborted();
    },
    finalize: async () => void events.push('finalize'),
  };
  const tell = (error: unknown, own?: number) => events.push(`${own}: ${(error as Error).message}`);
  const code = await ofWorld(async () => world, act, tell, grace).catch((error: unknown) => {
    if (!(error instanceof Aborted)) throw error;
    return undefined;
  });
  return [...events, String(code)];
}

const failing = (error: Error) => () => Promise.reject(error);

it('leaves with the others, and tells of a failure before it ends all of them', async () => {
  expect(await lifeOf(1, 2, async () => 130)).toEqual(['finalize', '130']);
  expect(await lifeOf(1, 2, failing(new Error('no room')))).toEqual(['1: no room', 'abort 1', 'undefined']);
  expect(await lifeOf(0, 2, failing(new Error('no room')))).toEqual(['0: no room', 'abort 1', 'undefined']);
  // What another rank tells is not told twice.
  expect(await lifeOf(1, 2, failing(new FailedElsewhere('rank 0')))).toEqual(['abort 1', 'undefined']);
});

it('leaves it to the rank that failed to say why, before any other ends all of them', async () => {
  const events: string[] = [];
  // Both know of it at the same moment.
  await Promise.all([
    lifeOf(0, 2, failing(new FailedElsewhere('rank 1')), events, 100),
    lifeOf(1, 2, failing(new Error('no such folder here')), events, 100),
  ]);
  expect(events).toEqual(['1: no such folder here', 'abort 1', 'abort 1']);
});

it('is a process like any other where it is the only one', async () => {
  expect(await lifeOf(0, 1, failing(new Error('no room')))).toEqual([
    'undefined: no room',
    'abort 1',
    'undefined',
  ]);
});

it('says why it could not join', async () => {
  const told: string[] = [];
  const code = await ofWorld(
    failing(new Error('no library')),
    async () => 0,
    (error) => told.push((error as Error).message),
  );
  expect([code, told]).toEqual([1, ['no library']]);
});
