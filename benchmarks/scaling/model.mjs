// What a step takes on 8 to 256 devices, by a model of computing, exchange and decoding: see docs/scaling.md.
//
//   node benchmarks/scaling/model.mjs [--link nvlink+ib|nvlink+ethernet|pcie+ethernet] [--batch 256] [--out FILE.json]
//
// --batch: images of a device. Prints a table for each network, and the published runs that the model is held against.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { table } from '../lib/rounds.mjs';

/** Bytes a second that a ring of devices moves within a machine and between two, and seconds of a message. Links as their makers state them. */
const links = {
  // NVLink 4, one direction, of which NCCL's rings reach four fifths; eight adapters of 400 Gbit/s for a machine.
  'nvlink+ib': { within: 360e9, between: 8 * 50e9 * 0.8, latency: 10e-6 },
  // The same machines on one adapter of 100 Gbit/s.
  'nvlink+ethernet': { within: 360e9, between: 12.5e9 * 0.8, latency: 30e-6 },
  // PCIe 4 x16 through the host, and 25 Gbit/s.
  'pcie+ethernet': { within: 20e9, between: 3.1e9 * 0.8, latency: 30e-6 },
};

/**
 * Networks: seconds of a step of 256 images on one device in bfloat16 and the bytes that it needs there, as docs/performance.md has them
 * (one H200), numbers that are summed, and numbers of an image's key.
 */
const networks = {
  'ResNet-50, v2, ShuffleBN': { step: 0.0562, parameters: 28e6, memory: 11_408 * 2 ** 20, shuffle: true },
  'ResNet-50, v2, SyncBN': { step: 0.0562, parameters: 28e6, memory: 11_408 * 2 ** 20, norms: 53 },
  'ViT-Small, v3': { step: 0.1102, parameters: 43.2e6, memory: 20_514 * 2 ** 20 },
};
const IMAGES = 256;
const side = 224;
/** Both views of a JPEG of 500x375, from one decode, for a second of one core: docs/performance.md. */
const viewsPerCore = 203;
const perMachine = 8;
const coresPerMachine = 96;

/** Seconds in which each device sends so many bytes: in a ring, or in a tree where messages are so short that their number counts. */
function exchange(bytes, devices, { within, between, latency }) {
  if (devices === 1) return 0;
  const speed = devices > perMachine ? Math.min(within, between) : within;
  return bytes / speed + Math.min(devices, 2 * Math.ceil(Math.log2(devices))) * latency;
}
const share = (devices) => (devices - 1) / devices;
const allReduce = (bytes, devices, link) => exchange(2 * share(devices) * bytes, devices, link);
const allGather = (bytes, devices, link) => exchange(share(devices) * bytes, devices, link);

/** Seconds of a step by what takes them. Nothing overlaps but decoding, which the loader does ahead. */
export function stepOf(network, devices, batch, link) {
  const { step, parameters, shuffle = false, norms = 0 } = network;
  const compute = (step * batch) / IMAGES;
  const gradients = allReduce(4 * parameters, devices, link);
  const keys = allGather(devices * batch * 128 * 4, devices, link);
  const images = shuffle ? allGather(devices * batch * 3 * side * side, devices, link) : 0;
  // Forward in both encoders, backward in one; their latency counts, not their few numbers.
  const statistics = norms * 3 * allReduce(4 * 2 * 2048, devices, link);
  const machines = Math.ceil(devices / perMachine);
  const decode = (devices * batch) / (machines * coresPerMachine * viewsPerCore);
  const exchanged = gradients + keys + images + statistics;
  return {
    compute,
    gradients,
    keys,
    images,
    statistics,
    exchanged,
    decode,
    step: Math.max(compute + exchanged, decode),
  };
}

/** Images a second of all devices, as a share of as many single ones'. */
export const efficiency = ({ compute, step }) => compute / step;

/** ResNet-50 with labels on V100s (float32, 128 images each, 100 Gbit/s): Oneflow-Inc/DLPerf, PyTorch/resnet50v1.5, DALI with 48 workers. */
const published = {
  single: 350.66,
  rates: [
    [8, 2707.42],
    [16, 5193.09],
    [32, 10_032.72],
  ],
};

function check() {
  const link = { within: 130e9, between: 12.5e9 * 0.8, latency: 30e-6 };
  return published.rates.map(([devices, rate]) => {
    const compute = 128 / published.single;
    const summing = allReduce(4 * 25.6e6, devices, link);
    return { devices, measured: rate / (devices * published.single), model: compute / (compute + summing) };
  });
}

const { values } = parseArgs({
  options: {
    link: { type: 'string', default: 'nvlink+ib' },
    batch: { type: 'string', default: '256' },
    out: { type: 'string' },
  },
});
const link = links[values.link];
const batch = Number(values.batch);
if (!link || !(batch > 0)) {
  console.error(`--link is one of ${Object.keys(links).join(', ')}; --batch a number of images`);
  process.exit(2);
}
const ms = (seconds) => (1000 * seconds).toFixed(1);
const rows = Object.entries(networks).flatMap(([name, network]) =>
  [1, 8, 16, 64, 256].map((devices) => ({ name, devices, ...stepOf(network, devices, batch, link) })),
);
console.log(`${values.link}, ${batch} images a device, ms of a step`);
table([
  [
    '',
    'devices',
    'computing',
    'gradients',
    'key images',
    'keys',
    'statistics',
    'decoding',
    'step',
    'efficiency',
    'without decoding',
  ],
  ...rows.map((row) => [
    row.name,
    String(row.devices),
    ...[row.compute, row.gradients, row.images, row.keys, row.statistics, row.decode, row.step].map(ms),
    efficiency(row).toFixed(2),
    (row.compute / (row.compute + row.exchanged)).toFixed(2),
  ]),
]);
console.log('\nPublished, V100: efficiency against one device');
table([
  ['devices', 'measured', 'model'],
  ...check().map(({ devices, measured, model }) => [String(devices), measured.toFixed(2), model.toFixed(2)]),
]);
if (values.out)
  writeFileSync(
    values.out,
    `${JSON.stringify({ link: values.link, batch, rows, check: check() }, null, 1)}\n`,
  );
