import { stripVTControlCharacters } from 'node:util';
import { createMeters, Meter, type Progress } from '@moco-ts/run';
import { expect, it } from 'vitest';

import { createIo } from './io.ts';
import { createReporter, epochLine, liveLines, plainLine } from './reporter.ts';

function progress(step: number): Progress {
  const meters = createMeters();
  for (const [name, value] of [
    ['loss', 9.87654],
    ['acc1', 12.5],
    ['acc5', 100],
    ['time', 0.321],
    ['data', 0],
  ] as const) {
    meters[name] = new Meter();
    meters[name].add(value);
  }
  return {
    epoch: 9,
    epochs: 200,
    step,
    steps: 5004,
    globalStep: 9 * 5004 + step,
    meters,
    learningRate: 1.5e-5,
    rate: 1234.5,
    etaSeconds: 3e5,
    done: (9 + step / 5004) / 200,
  };
}

it('fits the live image into 80 columns', () => {
  for (const step of [1, 2500, 5004]) {
    const lines = stripVTControlCharacters(liveLines(progress(step), true)).split('\n');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    expect(lines[0]).toContain(`epoch  10/200 `);
    expect(lines[0]).toContain('1235 img/s');
    expect(lines[0]).toContain('ETA 83:20:00');
    expect(lines[1]).toContain('loss 9.8765');
  }
});

it('tells time in the place of epochs where time ends the run', () => {
  const timed = {
    ...progress(5004),
    epochs: Number.POSITIVE_INFINITY,
    done: 0.5,
    time: { spent: 45_000, total: 108_000 },
  };
  const lines = stripVTControlCharacters(liveLines(timed, true)).split('\n');
  expect(lines[0]).toMatch(/^epoch 10 (█+)(░+) {2}5004\/5004 {2}1235 img\/s {2}12:30:00 of 30:00:00$/);
  expect(lines[0]!.length).toBeLessThanOrEqual(80);
  const [, full, empty] = /(█+)(░+)/.exec(lines[0]!)!;
  expect(Math.abs(full!.length - empty!.length)).toBeLessThanOrEqual(1);
  const line = 'Epoch 10 done, 12:30:00 of 30:00:00  Loss 9.8765  Acc@1/5 12.5/100.0  1235 img/s';
  expect(line).toHaveLength(80);
  expect(epochLine(timed)).toBe(line);
  expect(epochLine(progress(5004))).toBe(
    'Epoch  10/200 done  Loss 9.8765  Acc@1/5 12.5/100.0  0.321 s/step  1235 img/s',
  );
});

it('prints a plain line at the first of every so many steps', () => {
  const lines: string[] = [];
  const out = (text: string) => void lines.push(text);
  const reporter = createReporter(createIo({ out, err: () => undefined, live: false, color: false }), 3);
  for (let step = 1; step <= 7; step++) reporter.step(progress(step));
  expect(lines.map((line) => /\[ *(\d+)\/5004\]/.exec(line)![1])).toEqual(['1', '4', '7']);
  expect(plainLine(progress(1))).toBe(
    'Epoch 10 [   1/5004] Time 0.321 Data 0.000 Loss 9.8765 (9.8765) Acc@1/5 12.5/100.0',
  );
});

it('tells programs the same fields of each event, with or without a time', () => {
  let told = '';
  const out = (text: string) => {
    told += text;
  };
  const streams = { out, err: () => undefined, live: false, color: false };
  const reporter = createReporter(createIo(streams, { json: true, quiet: false }), 3);
  const open = { ...progress(4), epochs: Number.POSITIVE_INFINITY, time: { spent: 20, total: 60 } };
  for (const where of [progress(4), open]) {
    void reporter.step(where);
    reporter.epoch(where);
  }
  reporter.measured?.(1, { editedCopies: 40 }, true);
  reporter.measured?.(2, { editedCopies: 30 }, false);
  const events = told
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const timing = { spent: 20, total: 60 };
  expect(events).toMatchObject([
    { event: 'step', epochs: 200, time: 0.321 },
    { event: 'epoch', epochs: 200 },
    { event: 'step', time: 0.321, timing },
    { event: 'epoch', timing },
    { event: 'evaluation', epoch: 1, editedCopies: 40, best: true },
    { event: 'evaluation', epoch: 2, editedCopies: 30, best: false },
  ]);
  for (const event of events.slice(2)) expect(event).not.toHaveProperty('epochs');
  for (const at of [1, 3]) expect(events[at]).not.toHaveProperty('time');
});
