// MoCo.ts and PyTorch on the same step, in turn, in one run: medians, spread, ratio, peak memory, time to the first step.
//
//   node benchmarks/step/run.mjs [--rows NAME,NAME] [--rounds 3] [--python PATH] [--out FILE.json] [--chart FILE.svg]
//   node benchmarks/step/run.mjs --arch resnet34 --batch 16 --size 64     # one step of your own
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { locatePlugin } from '../../packages/backend-xla/dist/locate.js';
import { draw } from '../lib/chart.mjs';
import { pythonWithPeers } from '../lib/python.mjs';
import { alternate, quantile, spread, table } from '../lib/rounds.mjs';

const here = import.meta.dirname;
/** Eight images split into four groups: batch norm needs two in each. */
const rows = {
  'ResNet-18 CIFAR b64 32px': '--arch resnet18 --stem cifar --batch 64 --size 32 --steps 8',
  'ResNet-18 b32 64px': '--arch resnet18 --stem imagenet --batch 32 --size 64 --steps 16',
  'ResNet-50 b8 224px': '--arch resnet50 --stem imagenet --batch 8 --size 224 --bn-splits 4 --steps 6',
  'ResNet-50 b32 96px': '--arch resnet50 --stem imagenet --batch 32 --size 96 --steps 6',
  'ViT-Small b8 224px': '--arch vit_small --bn plain --batch 8 --size 224 --steps 6',
};

const own = { rounds: '3', python: '', out: '', chart: '', rows: Object.keys(rows).join() };
const passed = [];
const given = process.argv.slice(2);
for (let i = 0; i < given.length; i += 2) {
  const [name, value] = [given[i], given[i + 1]];
  if (!name.startsWith('--') || value === undefined) {
    console.error(`${name}: options come as --name value`);
    process.exit(2);
  }
  if (name.slice(2) in own) own[name.slice(2)] = value;
  else passed.push(name, value);
}
const wanted = passed.length > 0 ? { [passed.join(' ')]: passed.join(' ') } : pick(own.rows.split(','));

function pick(names) {
  const unknown = names.find((name) => !(name in rows));
  if (unknown === undefined) return Object.fromEntries(names.map((name) => [name, rows[name]]));
  console.error(`no row "${unknown}"; there are: ${Object.keys(rows).join(', ')}`);
  process.exit(2);
}

/** XLA trains transformers faster than ONNX Runtime does: it runs beside it where `moco backends install xla:cpu` brought it. */
function backendsFor(flags) {
  if (!flags.includes('vit')) return ['ort'];
  try {
    locatePlugin('cpu');
  } catch (error) {
    console.error(`  without xla:cpu: ${error.message}`);
    return ['ort'];
  }
  return ['ort', 'xla:cpu'];
}

const python = pythonWithPeers(own.python);
const pytorch = join(here, 'pytorch_step.py');
const results = [];
for (const [row, flags] of Object.entries(wanted)) {
  console.error(row);
  const options = flags.split(' ');
  const programs = [
    ...backendsFor(flags).map((backend) => ({
      name: backend === 'ort' ? 'MoCo.ts' : `MoCo.ts ${backend}`,
      command: process.execPath,
      args: [join(here, 'moco_step.mjs'), '--backend', backend, ...options],
    })),
    ...['contiguous', 'channels_last'].map((format) => ({
      name: `PyTorch ${format}`,
      command: python,
      args: [pytorch, '--format', format, ...options],
    })),
  ];
  const runs = alternate(programs, Number(own.rounds));
  const peers = programs.map(({ name }, i) => ({
    name,
    secondsPerStep: runs[i].flatMap((run) => run.secondsPerStep),
    peakMiB: Math.max(...runs[i].map((run) => run.peakRssBytes / 2 ** 20)),
    firstStep: quantile(
      runs[i].map((run) => run.secondsToFirstStep),
      0.5,
    ),
  }));
  results.push({ row, flags, peers, ...ratios(peers) });
}

/** The time and memory of this project's quickest backend as parts of the quicker PyTorch's. */
function ratios(peers) {
  const median = ({ secondsPerStep }) => quantile(secondsPerStep, 0.5);
  const quickest = (some) => some.reduce((a, b) => (median(b) < median(a) ? b : a));
  const isOurs = ({ name }) => name.startsWith('MoCo.ts');
  const others = peers.filter((peer) => !isOurs(peer));
  const [ours, best] = [quickest(peers.filter(isOurs)), quickest(others)];
  return {
    ours: ours.name,
    best: best.name,
    timeRatio: median(ours) / median(best),
    memoryRatio: ours.peakMiB / best.peakMiB,
    lowestMemoryRatio: ours.peakMiB / Math.min(...others.map(({ peakMiB }) => peakMiB)),
  };
}

for (const { row, peers, ours, best, timeRatio, memoryRatio } of results) {
  console.log(`\n${row}`);
  table([
    ['', 'median s', 'quartiles', 'fastest', 'peak MiB', '1st step s'],
    ...peers.map(({ name, secondsPerStep, peakMiB, firstStep }) => [
      name,
      quantile(secondsPerStep, 0.5).toFixed(3),
      spread(secondsPerStep, 2),
      Math.min(...secondsPerStep).toFixed(3),
      peakMiB.toFixed(0),
      firstStep.toFixed(1),
    ]),
  ]);
  console.log(
    `${ours} / ${best}: ${timeRatio.toFixed(2)} of the time, ${memoryRatio.toFixed(2)} of the memory`,
  );
}
if (own.out) writeFileSync(own.out, `${JSON.stringify(results, null, 1)}\n`);
if (own.chart) await draw(chart(), own.chart);

const colours = {
  'MoCo.ts': '#1f6feb',
  'MoCo.ts xla:cpu': '#7aa7f0',
  'PyTorch contiguous': '#b8c0cc',
  'PyTorch channels_last': '#8b95a5',
};

function chart() {
  const values = results.flatMap(({ row, peers, best }) => {
    const reference = quantile(peers.find(({ name }) => name === best).secondsPerStep, 0.5);
    return peers.map(({ name, secondsPerStep }) => {
      const [low, mid, high] = [0.25, 0.5, 0.75].map((q) => quantile(secondsPerStep, q) / reference);
      return { row, name, low, mid, high, label: `${(mid * reference).toFixed(2)} s` };
    });
  });
  const names = [...new Set(values.map(({ name }) => name))];
  const y = { field: 'name', type: 'nominal', title: null, sort: null, axis: null };
  const x = { type: 'quantitative', title: "time of a step, PyTorch's better format = 1" };
  return {
    data: { values },
    facet: {
      row: {
        field: 'row',
        type: 'nominal',
        title: null,
        sort: results.map(({ row }) => row),
        header: {
          labelAngle: 0,
          labelAlign: 'left',
          labelAnchor: 'start',
          labelOrient: 'top',
          labelPadding: 2,
        },
      },
    },
    spacing: 12,
    spec: {
      width: 420,
      height: 66,
      encoding: { y },
      layer: [
        {
          mark: 'bar',
          encoding: {
            x: { ...x, field: 'mid' },
            color: {
              field: 'name',
              type: 'nominal',
              title: null,
              sort: null,
              scale: { domain: names, range: names.map((name) => colours[name]) },
              legend: { orient: 'top', labelLimit: 0 },
            },
          },
        },
        {
          mark: { type: 'rule', strokeWidth: 2 },
          encoding: { x: { ...x, field: 'low' }, x2: { field: 'high' } },
        },
        {
          mark: { type: 'text', align: 'left', dx: 8 },
          encoding: { x: { ...x, field: 'high' }, text: { field: 'label' } },
        },
      ],
    },
  };
}
