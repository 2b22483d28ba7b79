// A training by the ordinary command on the pack's images, with its loader: seconds a step, and the share of them that waits for images.
//
//   node train.mjs xla:cuda --settings '{"arch": "resnet50", "workers": 8}' --out FILE.json [--images FOLDER]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const here = import.meta.dirname;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    settings: { type: 'string', default: '{}' },
    out: { type: 'string' },
    images: { type: 'string', default: join(here, '..', 'images') },
  },
});
const [backend = 'xla:cuda'] = positionals;
const settings = JSON.parse(values.settings);
const work = mkdtempSync(join(tmpdir(), 'moco-train-'));
try {
  const flag = (name) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const flags = Object.entries(settings).flatMap(([name, value]) => [flag(name), `${value}`]);
  const own = ['--backend', backend, '--print-freq', '1', '--out', work];
  execFileSync(process.execPath, [join(here, 'moco.js'), 'pretrain', values.images, ...flags, ...own], {
    stdio: 'inherit',
  });
  const steps = readFileSync(join(work, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === 'step')
    .map(({ loss, time, data }) => ({ loss, time, data }));
  // The first half has the compilation in it, and the start of the workers.
  const late = steps.slice(steps.length >> 1);
  const total = (field) => late.reduce((sum, step) => sum + step[field], 0);
  const report = {
    backend,
    settings,
    imagesPerSecond: (late.length * settings.batchSize) / total('time'),
    waits: total('data') / total('time'),
    steps,
  };
  if (values.out) writeFileSync(values.out, `${JSON.stringify(report)}\n`);
  console.log(JSON.stringify(report));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true });
}
