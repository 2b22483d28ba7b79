/** The report of an ablation: the published curve beside the measured one, and what agrees. */

import { join } from 'node:path';
import { counted } from '@moco-ts/core';
import { type Measures, makeFolder, measureNames, measureTitles, writeAtomic } from '@moco-ts/node';
import type { RunConfig } from '@moco-ts/run';
import * as Plot from '@observablehq/plot';
import { chart, domainOf, legend, palette } from '../html/chart.ts';
import { escapeHtml, renderPage, table } from '../html/page.ts';
import type { CellResult } from './cells.ts';
import { findings, type Point, pointsOf } from './findings.ts';
import { published } from './published.ts';
import { type Sweep, type SweepName, sweepNames, sweeps } from './sweeps.ts';

export interface Ablation {
  /** The recipe where nothing is varied. */
  readonly base: RunConfig;
  readonly results: readonly CellResult[];
  /** Of the untrained network, for each seed. */
  readonly floor: readonly Measures[];
}

/**
 * Writes `report.html`, and an SVG of each measured curve for other documents.
 * @returns the paths
 */
export async function writeReport(folder: string, ablation: Ablation): Promise<string[]> {
  await makeFolder(folder);
  const drawn = new Map<string, string>();
  const present = sweepNames.filter((name) => ablation.results.some(({ sweep }) => sweep === name));
  const body = [opening(ablation), ...present.map((name) => section(name, ablation, drawn))].join('\n');
  const paths = [join(folder, 'report.html')];
  await writeAtomic(paths[0]!, renderPage({ title: 'MoCo.ts: ablations', body }));
  for (const [name, svg] of drawn) {
    const path = join(folder, `${name}.svg`);
    await writeAtomic(path, `${svg}\n`);
    paths.push(path);
  }
  return paths;
}

function opening({ base, results }: Ablation): string {
  const { images } = results[0]!;
  const { arch, imageSize, epochs, batchSize, optimizer, lr, data, mocoK, mocoM } = base;
  const seeds = new Set(results.map(({ seed }) => seed)).size;
  const hours = results.reduce((sum, { seconds }) => sum + seconds, 0) / 3600;
  return `<h1>Ablations of momentum contrast</h1>
<p>The settings that the papers vary, varied at another scale.
<strong>Here:</strong> ${escapeHtml(`${counted(images, 'image')} of ${data}, ${arch} at ${imageSize} px, ${counted(epochs, 'epoch')} of batch ${batchSize}, ${optimizer} with rate ${lr}, K ${mocoK} and m ${mocoM} where they are not varied; ${counted(seeds, 'seed')}; ${hours.toFixed(1)} hours in all.`)}
<strong>There:</strong> 1.28 million images of ImageNet, ResNet-50 at 224 px, 200 epochs of batch 256 with SGD.</p>
<p class="soft">The scales differ a thousandfold, and so do the measures: the papers train a linear classifier on the features; here the
features' nearest neighbours are judged. Compare the shapes, not the heights. Bars go from the least to the greatest seed;
the dashed line is the untrained network.</p>`;
}

function section(name: SweepName, { results, floor }: Ablation, drawn: Map<string, string>): string {
  const sweep: Sweep = sweeps[name];
  const own = results.filter((result) => result.sweep === name);
  const known = measureNames.filter((measure) =>
    own.some(({ measures }) => measures?.[measure] !== undefined),
  );
  const panels = [panel(`Published: ${published[name].source}`, publishedChart(name))];
  const sections: string[] = [];
  for (const measure of known) {
    const points = pointsOf(results, name, measure);
    const bottom = floor.reduce((sum, each) => sum + (each[measure] ?? 0), 0) / Math.max(1, floor.length);
    const svg = measuredChart(name, points, bottom, measureTitles[measure]);
    drawn.set(`${name}-${measure}`, svg);
    panels.push(panel(`Measured here: ${measureTitles[measure]}`, `${svg}${legendOf(points)}`));
    const lines = findings(name, points, bottom).map((line) => `<li>${escapeHtml(line)}</li>`);
    sections.push(`<h3>${escapeHtml(measureTitles[measure])}</h3><ul>${lines.join('')}</ul>`);
  }
  const first = pointsOf(results, name, known[0]!);
  const all = known.map((measure) => pointsOf(results, name, measure));
  const rows = first.map((point, i) => [
    point.series,
    String(point.x),
    ...all.map((points) => figure(points[i]!)),
  ]);
  return `<h2>${escapeHtml(sweep.title)}</h2>
<p>The paper's claim: ${escapeHtml(published[name].claim)}</p>
<div class="panels">${panels.join('\n')}</div>
<h3 style="margin-top:1.5rem">Does it hold here?</h3>
${sections.join('\n')}
${table(['', sweep.axis, ...known.map((measure) => `${measureTitles[measure]}, %`)], rows, ['', 'n', ...known.map(() => 'n' as const)])}`;
}

function figure({ values, mean, least, most, failures }: Point): string {
  if (values.length === 0) return `failed ${failures} times`;
  return `${mean.toFixed(1)} (${least.toFixed(1)} to ${most.toFixed(1)})`;
}

const panel = (title: string, content: string) =>
  `<figure class="card"><h3>${escapeHtml(title)}</h3>${content}</figure>`;

const seriesOf = (points: readonly { readonly series: string }[]) => [
  ...new Set(points.map(({ series }) => series)),
];

function legendOf(points: readonly Point[]): string {
  const names = seriesOf(points);
  return names.length > 1 ? `<figcaption>${legend(names)}</figcaption>` : '';
}

function axes(name: SweepName, xs: readonly (number | string)[]): Plot.PlotOptions {
  const { scale, axis } = sweeps[name] as Sweep;
  const label = `${axis} →`;
  const ticks = [...new Set(xs)];
  return scale === 'log'
    ? {
        x: {
          type: 'log',
          base: 2,
          label,
          ticks: powers(ticks as number[]),
          ...domainOf(ticks as number[], true),
          tickFormat: (k: number) => `${k}`,
        },
      }
    : { x: { type: 'point', label, domain: ticks, padding: 0.3 } };
}

/** Powers of 4 within a range: axes of K are read so. */
function powers(xs: readonly number[]): number[] {
  const [least, most] = [Math.min(...xs), Math.max(...xs)];
  return Array.from({ length: 20 }, (_, i) => 4 ** i).filter((k) => k >= least / 2 && k <= most * 2);
}

function publishedChart(name: SweepName): string {
  const { points } = published[name];
  const names = seriesOf(pointsWithOrder(name));
  const values = points.filter(({ value }) => value !== undefined);
  const failed = points.filter(({ value }) => value === undefined);
  const least = Math.min(...values.map(({ value }) => value!));
  const svg = chart(
    {
      ...axes(
        name,
        points.map(({ x }) => x),
      ),
      y: { label: '↑ percent', grid: true, nice: true, ...domainOf(values.map(({ value }) => value!)) },
      color: { domain: names, range: [...palette] },
      marks: [
        Plot.lineY(values, { x: 'x', y: 'value', stroke: 'series', marker: 'circle' }),
        Plot.text(values, {
          x: 'x',
          y: 'value',
          text: ({ value }: { value: number }) => value.toFixed(1),
          dy: -12,
        }),
        Plot.text(failed, { x: 'x', y: () => least, text: () => 'fails', fontStyle: 'italic' }),
      ],
    },
    `${(sweeps[name] as Sweep).title}, as published`,
  );
  return names.length > 1 ? `${svg}<figcaption>${legend(names)}</figcaption>` : svg;
}

/** The measured series' order, so that colours are the same on both sides. */
function pointsWithOrder(name: SweepName): readonly { readonly series: string }[] {
  return name === 'k'
    ? [{ series: 'end-to-end' }, { series: 'memory bank' }, { series: 'MoCo' }]
    : published[name].points;
}

/** Exported for the test. */
export function measuredChart(
  name: SweepName,
  points: readonly Point[],
  floor: number,
  measure: string,
): string {
  const drawn = points.filter(({ values }) => values.length > 0);
  return chart(
    {
      ...axes(
        name,
        points.map(({ x }) => x),
      ),
      y: {
        label: `↑ ${measure}, percent`,
        grid: true,
        nice: true,
        ...domainOf([floor, ...drawn.flatMap(({ least, most }) => [least, most])]),
      },
      color: { domain: seriesOf(points), range: [...palette] },
      marks: [
        Plot.ruleY([floor], { strokeDasharray: '4 3', strokeOpacity: 0.6 }),
        Plot.ruleX(drawn, { x: 'x', y1: 'least', y2: 'most', stroke: 'series', strokeWidth: 2 }),
        Plot.lineY(drawn, { x: 'x', y: 'mean', stroke: 'series', marker: 'circle' }),
      ],
    },
    `${(sweeps[name] as Sweep).title}: ${measure}, as measured`,
  );
}
