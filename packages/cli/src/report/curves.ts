/** The curves of a run, as figures. */

import { measureTitles } from '@moco-ts/node';
import * as Plot from '@observablehq/plot';
import { chart, domainOf, legend, palette } from '../html/chart.ts';
import { escapeHtml } from '../html/page.ts';
import type { LogLine } from './history.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly series: string;
}

/** Values of fields over an axis; lines without a number there are left out. */
export function pointsOf(
  lines: readonly LogLine[],
  axis: string,
  fields: Readonly<Record<string, string>>,
  shift = 0,
): Point[] {
  return Object.entries(fields).flatMap(([field, series]) =>
    lines.flatMap((line) => {
      const [x, y] = [line[axis], line[field]];
      return Number.isFinite(x) && Number.isFinite(y)
        ? [{ x: (x as number) + shift, y: y as number, series }]
        : [];
    }),
  );
}

export interface Curve {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly points: readonly Point[];
  /** A level to compare with. */
  readonly level?: { readonly value: number; readonly label: string };
  /** A place along the axis. */
  readonly place?: { readonly value: number; readonly label: string };
  readonly note?: string;
  /** A stretch of the x axis that is marked. */
  readonly area?: { readonly from: number; readonly to: number };
  /** Marks each point. */
  readonly dots?: boolean;
}

/** A figure; empty where there is nothing to draw. */
export function curve({
  title,
  x: xName,
  y: yName,
  points,
  level,
  place,
  note,
  area,
  dots = false,
}: Curve): string {
  if (points.length === 0) return '';
  const names = [...new Set(points.map(({ series }) => series))];
  const drawn = [...grouped(points).values()].flatMap(thinned);
  const y = domainOf(drawn.map((point) => point.y).concat(level ? [level.value] : []));
  const few = dots || points.length <= 20;
  const svg = chart(
    {
      marginLeft: 56,
      x: { label: `${xName} →`, ...domainOf(drawn.map((point) => point.x)) },
      y: { label: `↑ ${yName}`, grid: true, nice: true, ...y },
      color: { domain: names, range: [...palette] },
      marks: [
        ...(area
          ? [Plot.rectX([area], { x1: 'from', x2: 'to', fill: 'currentColor', fillOpacity: 0.1 })]
          : []),
        ...(level
          ? [
              Plot.ruleY([level.value], { strokeDasharray: '4 3', strokeOpacity: 0.6 }),
              Plot.text([level], {
                y: 'value',
                text: 'label',
                frameAnchor: 'right',
                textAnchor: 'end',
                dy: -8,
              }),
            ]
          : []),
        ...(place
          ? [
              Plot.ruleX([place.value], { strokeDasharray: '4 3', strokeOpacity: 0.6 }),
              Plot.text([place], { x: 'value', text: 'label', frameAnchor: 'top', dy: -12 }),
            ]
          : []),
        Plot.lineY(drawn, {
          x: 'x',
          y: 'y',
          stroke: 'series',
          z: 'series',
          ...(few ? { marker: 'circle' as const } : {}),
        }),
      ],
    },
    `${title}: ${describe(points)}`,
  );
  const captions = [names.length > 1 ? legend(names) : '', note ? escapeHtml(note) : ''].filter(Boolean);
  const caption = captions.length > 0 ? `<figcaption>${captions.join('<br>')}</figcaption>` : '';
  return `<figure class="card"><h3>${escapeHtml(title)}</h3>${svg}${caption}</figure>`;
}

/** A curve in words: where each series begins and ends. */
function describe(points: readonly Point[]): string {
  return [...grouped(points)]
    .map(([name, own]) => `${name} from ${short(own[0]!.y)} to ${short(own.at(-1)!.y)}`)
    .join('; ');
}

function grouped(points: readonly Point[]): Map<string, Point[]> {
  const groups = new Map<string, Point[]>();
  for (const point of points) {
    const group = groups.get(point.series);
    if (group) group.push(point);
    else groups.set(point.series, [point]);
  }
  return groups;
}

/** As many as a chart can show; of each stretch of more, in their order, the least and the greatest. */
const SHOWN = 2000;

/** Fewer points of one series, under which its curve looks the same. */
export function thinned(points: readonly Point[]): Point[] {
  if (points.length <= SHOWN) return [...points];
  const stretch = Math.ceil(points.length / (SHOWN / 2));
  const kept: Point[] = [];
  for (let at = 0; at < points.length; at += stretch) {
    const own = points.slice(at, at + stretch);
    const least = own.reduce((a, b) => (b.y < a.y ? b : a));
    const greatest = own.reduce((a, b) => (b.y > a.y ? b : a));
    const both = own.filter((point) => point === least || point === greatest);
    kept.push(...both);
  }
  return kept;
}

const short = (value: number) => Number(value.toPrecision(4)).toString();

/** Evaluations over epochs. @param best after which epoch the run's best checkpoint was saved */
export function measureCurve(evaluations: readonly LogLine[], best?: number): string {
  return curve({
    title: 'Features, by their nearest neighbours',
    x: 'epochs',
    y: 'percent',
    points: pointsOf(evaluations, 'epoch', measureTitles),
    ...(best !== undefined && { place: { value: best, label: 'best' } }),
    dots: true,
  });
}
