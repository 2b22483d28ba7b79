// How a step's time and memory grow with the batch, K, the images' size and the encoder. MoCo.ts alone.
//
//   node benchmarks/growth/run.mjs [--out FILE.json] [--chart FILE.svg]
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { draw } from '../lib/chart.mjs';
import { quantile, spread, table } from '../lib/rounds.mjs';

const { values } = parseArgs({
  options: { out: { type: 'string', default: '' }, chart: { type: 'string', default: '' } },
});
const small = '--arch resnet18 --stem cifar --size 32 --bn-splits 4';
const large = '--arch resnet50 --stem imagenet --size 224 --batch 8 --bn-splits 4';
const series = [
  ...[8, 16, 32, 64, 128, 256].map((n) => ['batch', n, `${small} --batch ${n}`]),
  ...[1024, 4096, 16384, 65536].map((k) => ['K', k, `${small} --batch 32 --moco-k ${k}`]),
  ...[4096, 65536].map((k) => ['K, ResNet-50 224px b8', k, `${large} --moco-k ${k}`]),
  ...[32, 64, 96, 128, 160, 224].map((size) => [
    'pixels',
    size,
    `--arch resnet18 --stem imagenet --batch 16 --bn-splits 4 --size ${size}`,
  ]),
  ...['resnet18', 'resnet34', 'resnet50', 'resnet101', 'wide_resnet50_2', 'resnext50_32x4d'].map((arch) => [
    'encoder',
    arch,
    `--arch ${arch} --stem imagenet --batch 16 --size 96 --bn-splits 4`,
  ]),
];
const results = series.map(([axis, value, flags]) => {
  const args = [join(import.meta.dirname, '..', 'step', 'moco_step.mjs'), '--warmup', '2', '--steps', '6'];
  const text = execFileSync(process.execPath, [...args, ...flags.split(' ')], { encoding: 'utf8' });
  const { secondsPerStep, peakRssBytes } = JSON.parse(text.trim().split('\n').at(-1));
  console.error(`  ${axis} ${value}: ${quantile(secondsPerStep, 0.5).toFixed(3)} s`);
  return { axis, value, flags, secondsPerStep, peakMiB: peakRssBytes / 2 ** 20 };
});

for (const axis of new Set(results.map((result) => result.axis))) {
  console.log(`\n${axis}`);
  table([
    ['', 'median s', 'quartiles', 'peak MiB'],
    ...results
      .filter((result) => result.axis === axis)
      .map(({ value, secondsPerStep, peakMiB }) => [
        `${value}`,
        quantile(secondsPerStep, 0.5).toFixed(3),
        spread(secondsPerStep, 3),
        peakMiB.toFixed(0),
      ]),
  ]);
}
if (values.out) writeFileSync(values.out, `${JSON.stringify(results, null, 1)}\n`);
if (values.chart) await draw(chart(), values.chart);

function chart() {
  const scale = { type: 'log' };
  const panel = (
    axis,
    title,
    ticks = results.filter((result) => result.axis === axis).map(({ value }) => value),
  ) => ({
    title,
    width: 220,
    height: 150,
    data: {
      values: results
        .filter((result) => result.axis === axis)
        .flatMap(({ value, secondsPerStep, peakMiB }) => [
          { value, amount: quantile(secondsPerStep, 0.5), what: 'seconds a step' },
          { value, amount: peakMiB / 1024, what: 'peak GiB' },
        ]),
    },
    mark: { type: 'line', point: true },
    encoding: {
      x: {
        field: 'value',
        type: 'quantitative',
        scale: { ...scale, base: 2, nice: false },
        title: null,
        axis: { grid: false, values: ticks, format: 'd' },
      },
      y: { field: 'amount', type: 'quantitative', scale, title: null },
      color: {
        field: 'what',
        type: 'nominal',
        title: null,
        scale: { range: ['#8b95a5', '#1f6feb'] },
        legend: { orient: 'top' },
      },
    },
  });
  return {
    hconcat: [
      panel('batch', 'batch (ResNet-18, 32 px)'),
      panel('K', 'K (ResNet-18, 32 px, batch 32)'),
      panel('pixels', 'pixels a side (ResNet-18, batch 16)'),
    ],
  };
}
