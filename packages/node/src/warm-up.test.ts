import { createMethod, resolveConfig } from '@moco-ts/run';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerPlugins } from './plugins.ts';
import { watchWarmUp } from './warm-up.ts';

const queue = { steps: 16, dictionary: 'queue' } as const;

/** What is said of these losses, by the steps in which it is. */
function said(
  losses: readonly number[],
  warmUp: typeof queue | 'none' = queue,
  from = 0,
): [number, string][] {
  const lines: [number, string][] = [];
  let at = from;
  const watch = watchWarmUp(warmUp === 'none' ? undefined : warmUp, (text) => void lines.push([at, text]));
  for (const loss of losses) {
    watch(at, loss);
    at++;
  }
  return lines;
}

describe('a rise of the loss while the queue still holds noise', () => {
  it('is explained once, where it is seen', () => {
    expect(said([2, 2.4, 2.6, 5, 7])).toEqual([
      [2, expect.stringMatching(/the queue still holds noise.* until step 16\.$/)],
    ]);
  });
  it('is none where nothing rises, behind its end, in a run that went on, and with other methods', () => {
    expect(said([2, 2.4, 1.9, 2.2])).toEqual([]);
    expect(said([2, ...Array.from({ length: 15 }, () => 2), 9, 9])).toEqual([]);
    expect(said([2, 9], queue, 5)).toEqual([]);
    expect(said([2, 9], 'none')).toEqual([]);
  });
});

describe('the noise is gone', () => {
  beforeAll(registerPlugins);
  const source = { data: 'x', split: 'train' } as const;
  const warmUp = (flags: object) =>
    createMethod(
      resolveConfig({ data: 'x', arch: 'resnet-micro', imageSize: 16, ...flags }, { source }),
      1000,
    ).warmUp;
  it('after K keys: K / batch steps, half as many with both views', () => {
    expect(warmUp({ method: 'moco-v2', batchSize: 64, mocoK: 1024 })).toEqual(queue);
    expect(warmUp({ method: 'moco-v2', batchSize: 64, mocoK: 1024, symmetric: true })?.steps).toBe(8);
    expect(warmUp({ method: 'simclr', batchSize: 64 })).toBeUndefined();
  });
});
