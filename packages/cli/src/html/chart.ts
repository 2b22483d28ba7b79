/** Charts as SVG text, by Observable Plot in a document that is not a browser's. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escapeHtml } from './page.ts';

/** Told apart in light and dark, and by those who see few colours (Okabe and Ito, 2008). */
export const palette = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00'] as const;

/** @param label what the chart shows, for those who don't see it */
export function chart(options: Plot.PlotOptions, label: string): string {
  const { document } = parseHTML('<html><body></body></html>');
  const drawn = Plot.plot({
    width: 460,
    height: 300,
    marginTop: 28,
    marginRight: 24,
    marginBottom: 40,
    style: { background: 'none', fontSize: '12px', fontFamily: 'inherit' },
    ...options,
    document: document as unknown as NonNullable<Plot.PlotOptions['document']>,
    figure: false,
  });
  drawn.setAttribute('role', 'img');
  drawn.setAttribute('aria-label', label);
  return drawn.outerHTML;
}

/**
 * The domain of an axis where all values are one, else none, and the chart finds its own: a scale from a value to itself
 * gives each mark the whole height of the chart.
 * @param log the axis is logarithmic
 */
export function domainOf(values: readonly number[], log = false): { domain?: [number, number] } {
  const [first] = values;
  if (first === undefined || values.some((value) => value !== first)) return {};
  if (log) return { domain: [first / 2, first * 2] };
  const room = Math.abs(first) / 10 || 1;
  return { domain: [first - room, first + room] };
}

/** A legend as text beside its colours: Plot's own would have to be placed by a figure. */
export function legend(names: readonly string[]): string {
  return names
    .map((name, i) => `<span style="color:${palette[i % palette.length]}">&#9679;</span> ${escapeHtml(name)}`)
    .join(' &nbsp; ');
}
