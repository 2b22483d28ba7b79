import { bytes } from '@moco-ts/node';
import { expect, it } from 'vitest';
import { bar, duration, noted, rate, wrap } from './format.ts';

it('writes durations', () => {
  expect([0, 59.4, 59.6, 245, 3723].map(duration)).toEqual(['0:00', '0:59', '1:00', '4:05', '1:02:03']);
  expect(duration(Number.NaN)).toBe('-:--');
});

it('writes rates, sizes and bars', () => {
  expect([0.03, 0.0012345, 1.5e-5, 0].map(rate)).toEqual(['0.03', '0.00123', '1.50e-5', '0']);
  expect([2048, 3 * 2 ** 20].map(bytes)).toEqual(['2 kB', '3.0 MB']);
  expect([0, 0.5, 1, 2].map((share) => bar(share, 4))).toEqual(['░░░░', '██░░', '████', '████']);
});

it('wraps words', () => {
  expect(wrap('one two three four', 9, '  ')).toBe('one two\n  three\n  four');
});

it('breaks notes between words, and no path, quoted one or command of a hint', () => {
  const path = `/data/${'long-name/'.repeat(12)}x`;
  const text = `a note about ${path} and '/my photos/of last summer/in the south' that says: moco pretrain --resume 'my runs/one' or so`;
  const lines = wrap(text, 40, '  ').split('\n');
  expect(lines.map((line) => line.trim()).join(' ')).toBe(text);
  for (const unbroken of [
    path,
    "'/my photos/of last summer/in the south'",
    "moco pretrain --resume 'my runs/one'",
  ])
    expect(lines.filter((line) => line.includes(unbroken))).toHaveLength(1);
  for (const line of lines) if (line.length > 40) expect(line.trim()).toMatch(/^(\/data|'\/my|moco pre)\S*/);
  expect(noted(text, undefined)).toBe(text);
  expect(noted('short', 40)).toBe('short');
});
