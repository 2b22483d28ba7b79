// What the tests themselves are worth: the lines that they run, and the small errors in core that they notice.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const scripts = join(import.meta.dirname, '..', '..', 'scripts');
const leftOut = { notRun: 'takes ten minutes: left out of --quick' };

export const coverage = {
  name: 'lines without tests',
  run: async ({ quick }) => {
    if (quick) return leftOut;
    const { status, stdout } = output('coverage.mjs', ['--reporter=dot']);
    const rows = [...stdout.matchAll(/^(\w+) +([\d.]+) % +[\d.]+ % +[\d.]+ % +(\d+)$/gm)];
    const lines = rows.reduce((sum, [, , , total]) => sum + Number(total), 0);
    const run = rows.reduce((sum, [, , percent, total]) => sum + (Number(percent) / 100) * Number(total), 0);
    return {
      tried: lines,
      survived: Math.round(run),
      lost: '',
      failures: status === 0 ? [] : [stdout.trim().split('\n').at(-1)],
      detail: rows.map(([, name, percent]) => `${name} ${percent} %`).join(', '),
    };
  },
};

export const mutation = {
  name: 'small errors in core (mutants)',
  run: async ({ quick }) => {
    if (quick) return leftOut;
    const { status, stdout } = output('mutation.mjs', []);
    const [, total, killed, endless, , , score] =
      /^all +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +([\d.]+) %$/m.exec(stdout) ?? [];
    return {
      tried: Number(total ?? 0),
      survived: Number(killed ?? 0) + Number(endless ?? 0),
      lost: '',
      failures: status === 0 ? [] : [stdout.trim().split('\n').at(-1)],
      detail: `${score} % noticed by the tests`,
    };
  },
};

function output(script, args) {
  return spawnSync(process.execPath, [join(scripts, script), ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
}
