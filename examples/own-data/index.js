/**
 * A data set of your own: images that no folder holds. Here a program draws them, rings, bars, crosses and discs of any
 * colour and place; yours may come from a database, an archive or a camera. `node index.js` trains on 512 of them without
 * labels, measures whether edited copies of new ones are recognised, and finds the neighbours of one.
 */
import { pathToFileURL } from 'node:url';
import { loadEncoder, pretrain } from 'moco-ts';

const SIDE = 32;

/** The same numbers in [0, 1) for the same seed, without end. */
function* numbers(seed) {
  for (let state = seed + 1; ; ) {
    state = (Math.imul(state, 48271) + 0x9e3779b9) >>> 0;
    yield (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) >>> 0) / 2 ** 32;
  }
}

/** Whether a point, relative to the centre and in radii, belongs to a shape. */
const kinds = [
  (x, y) => Math.hypot(x, y) < 1 && Math.hypot(x, y) > 0.6,
  (x, y) => Math.abs(x) < 1 && Math.abs(y) < 0.3,
  (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.2 && Math.max(Math.abs(x), Math.abs(y)) < 1,
  (x, y) => Math.hypot(x, y) < 0.8,
];

/** @returns RGB of 8 bits, [height, width, 3] */
function draw(seed) {
  const random = numbers(seed);
  const next = (from, to) => from + (to - from) * random.next().value;
  const colour = () => [next(0, 255), next(0, 255), next(0, 255)];
  const back = colour();
  const shapes = Array.from({ length: 3 }, () => ({
    inside: kinds[Math.floor(next(0, kinds.length))],
    ...{ left: next(6, 26), top: next(6, 26), radius: next(5, 10), front: colour() },
  }));
  const data = new Uint8Array(SIDE * SIDE * 3);
  for (let i = 0; i < SIDE * SIDE; i++) {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE)];
    const seen = shapes.findLast(({ inside, left, top, radius }) =>
      inside((x - left) / radius, (y - top) / radius),
    );
    data.set(seen?.front ?? back, 3 * i);
  }
  return { width: SIDE, height: SIDE, data };
}

/** A data set is a name, a length, and an image for each index. */
export const shapes = (length, first = 0) => ({
  name: 'shapes',
  length,
  decode: (index) => draw(first + index),
});

/** Trains on shapes and tells the loss of each epoch; leave `options` out for the recipe of this example. */
export async function learn(out, options = {}) {
  const run = pretrain({
    data: shapes(512),
    testData: shapes(128, 10_000),
    method: 'moco-v2',
    arch: 'resnet-micro',
    imageSize: SIDE,
    batchSize: 64,
    mocoK: 256,
    mocoM: 0.99,
    optimizer: 'adamw',
    lr: 0.004,
    epochs: 20,
    measureEvery: 20,
    out,
    ...options,
  });
  const losses = [];
  for await (const { epoch, step, steps, loss } of run) {
    losses[epoch] = (losses[epoch] ?? 0) + loss / steps;
    if (step === steps - 1) console.log(`epoch ${epoch + 1}: loss ${losses[epoch].toFixed(3)}`);
  }
  return { ...(await run.result), losses };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { checkpoint, measures } = await learn('runs/shapes');
  console.log(`edited copies whose original is the nearest of 128: ${measures.editedCopies.toFixed(1)} %`);
  const encoder = await loadEncoder(checkpoint);
  const rows = await encoder.embed(Array.from({ length: 64 }, (_, i) => draw(20_000 + i)));
  const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0) / Math.hypot(...a) / Math.hypot(...b);
  const [, nearest] = [...rows.keys()].sort((a, b) => cosine(rows[b], rows[0]) - cosine(rows[a], rows[0]));
  console.log(`of 63 others, drawing ${nearest} is the most like drawing 0`);
  await encoder.dispose();
}
