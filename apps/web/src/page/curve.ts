import * as Plot from '@observablehq/plot';
import { byId } from './dom.ts';

/** Points that are drawn at most. */
const POINTS = 400;
/** Steps that the axis has room for at first. */
const LEAST = 20;

interface Point {
  readonly step: number;
  readonly loss: number;
}

/** Its width in pixels, told when it changes: to ask for it at each step would make the browser lay out the page. */
let width = 400;

/** @param redraw called when there is another width to fill */
export function watchWidth(redraw: () => void): void {
  new ResizeObserver(([entry]) => {
    width = Math.max(260, Math.floor(entry!.contentRect.width));
    redraw();
  }).observe(byId('curve'));
}

/** Draws the losses of all steps, in bundles where there are many, and the loss of guessing. */
export function drawCurve(losses: readonly number[], chance: number): void {
  const points = bundled(losses);
  const last = points.at(-1);
  const end = Math.max(LEAST, losses.length);
  const highest = points.reduce((most, { loss }) => Math.max(most, loss), chance);
  const lowest = points.reduce((least, { loss }) => Math.min(least, loss), chance);
  const plot = Plot.plot({
    width,
    height: 200,
    marginTop: 16,
    marginBottom: 38,
    marginRight: 12,
    marginLeft: 34,
    style: { background: 'none', color: 'var(--soft)', fontSize: '12px', fontFamily: 'inherit' },
    x: { label: 'step', domain: [0, end], ticks: 5 },
    y: { label: null, domain: [Math.max(0, lowest - 0.3), highest + 0.4], ticks: 5, grid: true },
    marks: [
      Plot.ruleY([chance], { stroke: 'var(--warm)', strokeDasharray: '5 4' }),
      Plot.text([chance], {
        ...{ y: Plot.identity, x: end, text: () => 'guessing: log(K + 1)' },
        ...{ textAnchor: 'end', dy: -8, fill: 'var(--ink)' },
      }),
      Plot.lineY(points, { x: 'step', y: 'loss', stroke: 'var(--accent)', strokeWidth: 2 }),
    ],
  });
  // A new style sheet would make the browser look at every tile of the map again; style.css has what is needed of it.
  plot.querySelector('style')?.remove();
  // Plot names its groups, which have no role: what is to be read is said once, below.
  for (const group of plot.querySelectorAll('[aria-label]')) group.removeAttribute('aria-label');
  plot.setAttribute('role', 'img');
  plot.setAttribute(
    'aria-label',
    last
      ? `Loss: ${points[0]!.loss.toFixed(2)} at first, ${last.loss.toFixed(2)} at step ${losses.length}; guessing costs ${chance.toFixed(2)}`
      : `Loss: no step yet; guessing costs ${chance.toFixed(2)}`,
  );
  byId('curve').replaceChildren(plot);
}

/** Means of equally long stretches. */
export function bundled(losses: readonly number[], most = POINTS): Point[] {
  const size = Math.max(1, Math.ceil(losses.length / most));
  const points: Point[] = [];
  for (let from = 0; from < losses.length; from += size) {
    const part = losses.slice(from, from + size);
    points.push({
      step: from + part.length,
      loss: part.reduce((sum, loss) => sum + loss, 0) / part.length,
    });
  }
  return points;
}
