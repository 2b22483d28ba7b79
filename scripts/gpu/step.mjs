// Times training steps of a recipe, and prints and writes what was found: by `timeSteps`, as `moco bench` does.
//
//   node step.mjs xla:cuda --settings '{"method": "moco-v2", "arch": "resnet50"}' [--out FILE.json] [--steps 10] [--warmup 2] [--wait]
//
// --wait: all that needs no device is made first; the device is opened when the standard input ends.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { registerPlugins, timeSteps } from '../../packages/node/dist/index.js';
import { checkSettings, resolveConfig, settingEntries } from '../../packages/run/dist/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    settings: { type: 'string', default: '{}' },
    out: { type: 'string' },
    steps: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    wait: { type: 'boolean', default: false },
  },
});
const [backend = 'xla:cuda'] = positionals;
const settings = JSON.parse(values.settings);
await registerPlugins();
try {
  checkSettings(settings, 'this version');
  const config = resolveConfig({ ...settings, data: 'noise' }, { source: { data: 'noise', split: 'train' } });
  const known = new Set(settingEntries().map(([name]) => name));
  const unknown = Object.keys(settings).find((name) => !known.has(name));
  if (unknown !== undefined) throw new Error(`there is no setting ${unknown}`);
  const timed = await timeSteps(config, backend, Number(values.steps), {
    warmUp: Number(values.warmup),
    held: true,
    ready: values.wait ? inputEnds : undefined,
  });
  const { batchSize } = config;
  const report = { ...timed, settings, batchSize, peakRssBytes: process.resourceUsage().maxRSS * 1024 };
  if (values.out) writeFileSync(values.out, `${JSON.stringify(report)}\n`);
  console.log(JSON.stringify(report));
  process.exit(0);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}

function inputEnds() {
  return new Promise((resolve) => process.stdin.on('end', resolve).resume());
}
