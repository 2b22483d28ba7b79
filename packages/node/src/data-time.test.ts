import { inWords } from '@moco-ts/core';
import { Meter } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { slowData } from './data-time.ts';
import { guessOf } from './evaluate.ts';

/** What is said of an epoch of so many steps, by seconds of each and of waiting in it. */
function said(
  count: number,
  time: number,
  data: number,
  {
    teacher,
    name = 'my photos',
    kind = 'files',
  }: { teacher?: string; name?: string; kind?: 'files' | 'here' } = {},
): string | undefined {
  const meter = (seconds: number) => new Meter({ sum: seconds * count, count });
  const text = slowData(
    { time: meter(time), data: meter(data) },
    {
      ...{ workers: 2, data: name, imageSize: 224, cacheTeacher: false },
      ...(teacher !== undefined && { teacher }),
    },
    { share: () => (kind === 'files' ? { kind, root: '', paths: [] } : { kind }) },
  );
  return (
    text &&
    inWords(text, ({ command, setting, value }) => [command, setting, value].filter(Boolean).join(' '))
  );
}

it('names decoding as the bottleneck where a step waits for more than a third of its time', () => {
  expect(said(100, 1, 0.4)).toMatch(
    /^decoding is the bottleneck: .* 40 % .*workers 2.*: moco shrink 'my photos' size 448$/,
  );
  expect(said(100, 1, 0.3)).toBeUndefined();
  expect(said(10, 1, 0.9)).toBeUndefined();
});

it.each([{ name: 'emoji' }, { name: 'object:birds' }, { name: 'cifar', kind: 'here' }] as const)(
  'names no copy of %o, which is no folder of image files',
  (set) => {
    expect(said(100, 1, 0.4, set)).toMatch(
      /^decoding is the bottleneck: .* raise workers 2 if cores are idle$/,
    );
  },
);

it('names the teacher where its features are waited for', () => {
  expect(said(100, 1, 0.4, { teacher: 'model.onnx' })).toMatch(
    /^the teacher is the bottleneck: .* 40 % .*cacheTeacher/,
  );
});

it('guesses the most frequent class of the test split', () => {
  expect(guessOf(Int32Array.of(0, 2, 2, -1), 3)).toEqual({ classes: 3, accuracy: 50 });
});
