/** What an ablation shows, in sentences: the papers' claims against the measured means. */

import { counted } from '@moco-ts/core';
import type { Measures } from '@moco-ts/node';
import type { CellResult } from './cells.ts';
import type { SweepName } from './sweeps.ts';

export type MeasureName = keyof Measures;

/** A setting over its seeds. */
export interface Point {
  readonly series: string;
  readonly x: number | string;
  /** One for each seed that trained. */
  readonly values: readonly number[];
  readonly failures: number;
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

/** The settings of a sweep in their order. */
export function pointsOf(results: readonly CellResult[], sweep: SweepName, measure: MeasureName): Point[] {
  const groups = new Map<string, CellResult[]>();
  for (const result of results.filter((each) => each.sweep === sweep)) {
    const key = `${result.series}/${result.x}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return [...groups.values()].map((group) => {
    const values = group.flatMap(({ measures }) => {
      const value = measures?.[measure];
      return value === undefined ? [] : [value];
    });
    const { series, x } = group[0]!;
    return {
      series,
      x,
      values,
      failures: group.filter(({ failure }) => failure !== undefined).length,
      mean: values.reduce((sum, value) => sum + value, 0) / values.length,
      least: Math.min(...values),
      most: Math.max(...values),
    };
  });
}

/** `above` or `below` where the seeds don't overlap, else `level`. */
export function compare(a: Point, b: Point): 'above' | 'below' | 'level' {
  if (a.least > b.most) return 'above';
  if (a.most < b.least) return 'below';
  return 'level';
}

const percent = ({ mean }: Point) => mean.toFixed(1);

/** A line on each claim of the paper: whether it holds here, by how much, and whether the seeds tell. */
export function findings(sweep: SweepName, points: readonly Point[], floor: number): string[] {
  const at = (series: string, x: number | string) =>
    points.find((point) => point.series === series && point.x === x && point.values.length > 0);
  const against = (
    a: Point | undefined,
    b: Point | undefined,
    [nameA, nameB]: [string, string],
  ): string[] => {
    if (!a || !b) return [];
    const order = compare(a, b);
    const how = order === 'level' ? 'not told apart by the seeds from' : order;
    return [`${nameA} (${percent(a)}) is ${how} ${nameB} (${percent(b)}).`];
  };
  switch (sweep) {
    case 'm': {
      const trained = points.filter((point) => point.values.length > 0);
      const best = trained.reduce((a, b) => (b.mean > a.mean ? b : a));
      const zero = at('MoCo', '0');
      const failed = points.find(({ x }) => x === '0')?.failures ?? 0;
      return [
        failed > 0
          ? `m = 0 failed: the loss was no number in ${counted(failed, 'run')}.`
          : `m = 0 reaches ${percent(zero!)}, ${(zero!.mean - floor).toFixed(1)} over the untrained network's ${floor.toFixed(1)}.`,
        ...against(at('MoCo', '0.99'), at('MoCo', '0.9'), ['m = 0.99', 'm = 0.9']),
        ...against(at('MoCo', '0.999'), at('MoCo', '0.99'), ['m = 0.999', 'm = 0.99']),
        ...against(at('MoCo', '0.9999'), at('MoCo', '0.999'), ['m = 0.9999', 'm = 0.999']),
        `The best here is m = ${best.x} (${percent(best)}); in the paper it is 0.999.`,
      ];
    }
    case 'k': {
      const series = [...new Set(points.map((point) => point.series))];
      const ends = series.flatMap((name) => {
        const own = points.filter((point) => point.series === name && point.values.length > 0);
        const [first, last] = [own[0], own.at(-1)];
        return against(last, first, [`${name} with K = ${last?.x}`, `that with K = ${first?.x}`]);
      });
      const common = points.filter(({ series: name, x }) => name === 'memory bank' && at('MoCo', x));
      const orders = common.map((bank) => compare(bank, at('MoCo', bank.x)!));
      const count = (order: string) => orders.filter((each) => each === order).length;
      return [
        ...ends,
        `The memory bank is below MoCo at ${count('below')} of ${common.length} sizes, above at ${count('above')}, not told apart at ${count('level')}.`,
      ];
    }
    case 'bn':
      return [
        ...against(at('MoCo', 'shuffle'), at('MoCo', 'plain'), ['shuffle', 'plain']),
        ...against(at('MoCo', 'shuffle'), at('MoCo', 'split'), ['shuffle', 'split']),
      ];
    case 'v2':
      return ['MLP', 'aug+', 'MLP, aug+', 'MLP, aug+, cos'].flatMap((name) =>
        against(at('MoCo', name), at('MoCo', 'v1'), [name, 'v1']),
      );
  }
}
