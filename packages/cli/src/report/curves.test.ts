import { parseHTML } from 'linkedom';
import { describe, expect, it } from 'vitest';
import { measuredChart } from '../ablation/report.ts';
import { curve, type Point, thinned } from './curves.ts';

const series = (ys: readonly number[]): Point[] => ys.map((y, x) => ({ x, y, series: 'loss' }));

describe('a long curve', () => {
  const long = series(
    Array.from({ length: 130_001 }, (_, i) => (i === 70_003 ? 99 : i === 70_005 ? -99 : i % 7)),
  );

  it('is drawn by few points, its peaks among them, in order', () => {
    const few = thinned(long);
    expect(few.length).toBeLessThanOrEqual(2000);
    expect(few.map(({ y }) => y)).toEqual(expect.arrayContaining([99, -99]));
    expect(few).toEqual([...few].sort((a, b) => a.x - b.x));
  });

  it('makes a small page', () => {
    const html = curve({ title: 'Loss', x: 'steps', y: 'loss', points: long });
    expect(html).toContain('loss from 0 to 3');
    expect(html.length).toBeLessThan(100_000);
  });
});

describe('values that are all equal', () => {
  const heights = (svg: string) => {
    const { document } = parseHTML(svg);
    const lines = [...document.querySelectorAll('[aria-label="rule"] line')];
    expect(lines.length).toBeGreaterThan(0);
    return lines.map((line) => Math.abs(Number(line.getAttribute('y1')) - Number(line.getAttribute('y2'))));
  };
  const point = (x: string) => ({
    series: 'MoCo',
    x,
    values: [50, 50],
    failures: 0,
    mean: 50,
    least: 50,
    most: 50,
  });

  it('have bars without a height in an ablation', () => {
    for (const floor of [50, 10])
      for (const height of heights(measuredChart('m', [point('0.9'), point('0.99')], floor, 'kNN accuracy')))
        expect(height).toBeLessThan(1);
  });

  it('are a line within the chart, with a scale around them', () => {
    for (const value of [0, 3, -2]) {
      const { document } = parseHTML(
        curve({ title: 'm', x: 'steps', y: 'm', points: series([value, value, value]) }),
      );
      const ticks = [...document.querySelectorAll('[aria-label="y-axis tick label"] text')];
      const numbers = ticks.map(({ textContent }) => Number(textContent!.replace('\u2212', '-')));
      expect(Math.min(...numbers)).toBeLessThan(value);
      expect(Math.max(...numbers)).toBeGreaterThan(value);
    }
  });
});
