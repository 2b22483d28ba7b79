// Thousands of steps: memory, handles and the time of a step stay what they were.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { flags, images, start } from './lib.mjs';

export const name = 'long runs';
/** Memory may be this much more at the end than after the first tenth; a short run is still filling its heap. */
const growth = { long: 1.03, short: 1.15 };

export async function run({ work, quick, backend: only }) {
  if (process.platform !== 'linux') return { notRun: 'needs Linux, to look into a process' };
  const failures = [];
  const lines = [];
  const backends = backendsOf(quick, only);
  for (const [backend, steps] of backends) {
    const { rss, handles, threads, pace, err, code } = await watched(work, backend, steps);
    if (code !== 0) failures.push(`${backend}: ${err.trim()}`);
    if (/MaxListenersExceeded/.test(err)) failures.push(`${backend}: listeners pile up`);
    if (rss > (quick ? growth.short : growth.long))
      failures.push(`${backend}: memory grew to ${rss.toFixed(3)} of what it was`);
    if (handles > 0) failures.push(`${backend}: ${handles} more open files`);
    if (threads > 0) failures.push(`${backend}: ${threads} more threads`);
    lines.push(`${backend}: ${steps} steps, memory x ${rss.toFixed(3)}, step x ${pace.toFixed(2)}`);
  }
  return {
    tried: backends.length,
    survived: backends.length - failures.length,
    lost: 0,
    failures,
    detail: lines.join('; '),
  };
}

/** Which ones, and steps. */
function backendsOf(quick, only) {
  if (only !== undefined) return [[only, quick ? 400 : 2000]];
  if (quick) return [['ort', 400]];
  return [
    ['ort', 5000],
    ['tfjs:wasm', 1000],
  ];
}

/** What changed from the first tenth of a run to its end: ratios of memory and of a step's time, and counts. */
async function watched(work, backend, steps) {
  const data = images(join(work, 'long-data'), 400);
  const folder = join(work, `long-${backend.replace(':', '-')}`);
  const epochs = String(Math.ceil(steps / 50));
  const more = [
    '--backend',
    backend,
    '--epochs',
    epochs,
    '--max-steps',
    String(steps),
    '--save-every',
    '1000',
    '--save-every-steps',
    '100000',
    '-j',
    '1',
  ];
  // Left to itself V8 fills 16 MB of young objects before it looks at them for the first time: at some kilobytes a step that
  // takes thousands of steps, and looks like a leak.
  const env = { ...process.env, NODE_OPTIONS: '--max-semi-space-size=1' };
  const { child, ended, out } = start(flags(data, folder, more), { env });
  const samples = [];
  const timer = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      const field = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)[1]);
      const handles = readdirSync(`/proc/${child.pid}/fd`).length;
      samples.push({
        at: performance.now(),
        step: done(out()),
        rss: field('VmRSS'),
        threads: field('Threads'),
        handles,
      });
    } catch {
      // It has ended.
    }
  }, 100);
  const { code, err } = await ended;
  clearInterval(timer);
  const between = (from, to) => samples.filter(({ step }) => step >= from * steps && step < to * steps);
  const [early, late] = [between(0.1, 0.2), between(0.9, 1)];
  if (early.length === 0 || late.length === 0) return { code: 1, err: `too few samples\n${err}` };
  const median = (list, key) => list.map((sample) => sample[key]).sort((a, b) => a - b)[list.length >> 1];
  const pace = (list) => (list.at(-1).at - list[0].at) / Math.max(1, list.at(-1).step - list[0].step);
  const more2 = (key) => Math.max(0, median(late, key) - median(early, key));
  return {
    rss: median(late, 'rss') / median(early, 'rss'),
    handles: more2('handles'),
    threads: more2('threads'),
    pace: pace(late) / pace(early),
    code,
    err,
  };
}

/** Steps that the lines of a run tell. */
function done(text) {
  let count = 0;
  for (let at = text.indexOf('Epoch '); at >= 0; at = text.indexOf('Epoch ', at + 1)) count++;
  return count;
}
