/** The gradients of the graph, run by the oracle, on all replicas where there are several, against central differences in float64. */
import { type Feed, interpretReplicas, opNamed, opNames, rng } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import type { Case } from './cases/case.ts';
import { apart, type ReplicaCase, replicaCases } from './cases/collective.ts';
import { cases } from './cases/index.ts';
import { differentiatedInputs, gradientGraph, isDifferentiable, lossGraph } from './graphs.ts';

const directions = 3;
/** Small beside the distance to any kink; the error of the difference is about 1e-16 / step + step^2. */
const step = 1e-6;

const smooth = (testCase: Case) => testCase.rough !== true && isDifferentiable(testCase);

function shifted(feed: Feed, direction: Float64Array, by: number): Feed {
  return { shape: feed.shape, data: Float64Array.from(feed.data, (x, i) => x + by * direction[i]!) };
}

/** @param cases of each replica, which differ by their feeds; the loss is the sum of theirs */
function check(cases: ReplicaCase): void {
  const [first] = cases as readonly [Case];
  const { graph } = lossGraph(first);
  const { graph: withGradients } = gradientGraph(first);
  const feeds = apart(cases.map((own) => gradientGraph(own).feeds));
  const analytic = interpretReplicas(withGradients, feeds);
  feeds.forEach((own, replica) => {
    const loss = (changed: Record<string, Feed>) => {
      const each = feeds.map((other, i) => (i === replica ? { ...own, ...changed } : other));
      return interpretReplicas(graph, each).reduce((total, outputs) => total + outputs.loss!.data[0]!, 0);
    };
    checkInputs(first, own, analytic[replica]!, loss);
  });
}

function checkInputs(
  testCase: Case,
  feeds: Readonly<Record<string, Feed>>,
  analytic: Readonly<Record<string, Feed>>,
  loss: (changed: Record<string, Feed>) => number,
): void {
  for (const input of differentiatedInputs(testCase)) {
    const feed = feeds[input]!;
    const gradient = Float64Array.from(analytic[`grad.${input}`]!.data);
    const norm = Math.hypot(...gradient);
    const largest = Math.max(...Array.from(feed.data, Math.abs));
    const h = step * Math.max(largest, 1e-3);
    for (let d = 0; d < directions; d++) {
      const random = rng(d, `direction/${testCase.op}/${testCase.name}/${input}`);
      const direction = Float64Array.from(feed.data, () => random.normal());
      const expected = gradient.reduce((total, g, i) => total + g * direction[i]!, 0);
      const up = loss({ [input]: shifted(feed, direction, h) });
      const down = loss({ [input]: shifted(feed, direction, -h) });
      const allowed = 1e-5 * norm * Math.hypot(...direction) + (1e-14 * Math.max(1, Math.abs(up))) / h;
      expect(Math.abs((up - down) / (2 * h) - expected), `gradient by ${input}`).toBeLessThan(allowed);
    }
  }
}

/** The largest convolutions would take the oracle minutes: the smaller ones have every stride, padding and group. */
const affordable = ({ op, feeds }: Case) =>
  !op.startsWith('conv') || Object.values(feeds()).reduce((total, { data }) => total + data.length, 0) < 7000;

const checked = cases.filter((testCase) => smooth(testCase) && affordable(testCase));

describe.each([...new Set(checked.map(({ op }) => op))])('%s', (op) => {
  for (const testCase of checked) if (testCase.op === op) it(testCase.name, () => check([testCase]));
});

const betweenReplicas = replicaCases(3).filter(([first]) => isDifferentiable(first!));

describe('between replicas', () => {
  it.each(betweenReplicas.map((each) => [`${each[0]!.op}: ${each[0]!.name}`, each] as const))(
    '%s',
    (_, each) => {
      check(each);
    },
  );
});

it('every op with a gradient is checked', () => {
  const ops = new Set([...checked, ...betweenReplicas.map(([first]) => first!)].map(({ op }) => op));
  expect(opNames().filter((name) => opNamed(name).grad && !ops.has(name))).toEqual([]);
});
