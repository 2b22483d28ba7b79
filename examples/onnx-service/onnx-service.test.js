import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { serve } from '@hono/node-server';
import { main } from '@moco-ts/cli';
import { loadEncoder, pretrain } from 'moco-ts';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { shapes } from '../own-data/index.js';
import { createService } from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'moco-example-'));
const gallery = join(folder, 'gallery');
const run = join(folder, 'run');
const data = shapes(24);
const file = (index) => join(gallery, `${String(index).padStart(2, '0')}.png`);
let server;
let address;

beforeAll(async () => {
  mkdirSync(gallery);
  for (let i = 0; i < data.length; i++) {
    const { data: pixels, width, height } = data.decode(i);
    await sharp(pixels, { raw: { width, height, channels: 3 } }).toFile(file(i));
  }
  const recipe = {
    arch: 'resnet-micro',
    imageSize: 32,
    batchSize: 8,
    bnSplits: 2,
    mocoK: 16,
    method: 'moco-v2',
  };
  await pretrain({ ...recipe, data: gallery, epochs: 1, out: run }).result;
  const model = join(folder, 'model.onnx');
  let errors = '';
  const tell = (text) => {
    errors += text;
  };
  const io = { out: tell, err: tell, live: false, color: false };
  expect(await main(['export', run, '-o', model, '--with-preprocess'], io), errors).toBe(0);
  // An ordinary folder: one of a class, what the Finder leaves, a damaged image, a folder with an image's name.
  for (const name of ['dogs', 'odd.png', 'none']) mkdirSync(join(gallery, name));
  copyFileSync(file(7), join(gallery, 'dogs', 'rex.JPG'));
  for (const name of ['.DS_Store', '._07.png', 'notes.txt', 'bad.jpg'])
    writeFileSync(join(gallery, name), 'no image');
  const warn = vi.spyOn(console, 'warn').mockReturnValue();
  const { fetch } = await createService(model, gallery);
  expect(warn.mock.calls).toEqual([[expect.stringContaining('bad.jpg is left out: ')]]);
  await expect(createService(model, join(gallery, 'none'))).rejects.toThrow(
    'none has no image that can be read',
  );
  address = await new Promise((resolve) => {
    server = serve({ fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
      resolve(`http://127.0.0.1:${port}`),
    );
  });
});
afterAll(async () => {
  await new Promise((resolve) => (server ? server.close(resolve) : resolve()));
  rmSync(folder, { recursive: true, force: true });
});

const post = async (path, body) => {
  const response = await fetch(`${address}${path}`, { method: 'POST', body });
  return { status: response.status, answer: await response.json() };
};

it('gives the features that the trained encoder gives', async () => {
  const { status, answer } = await post('/features', readFileSync(file(5)));
  expect(status).toBe(200);
  const encoder = await loadEncoder(run);
  const [expected] = await encoder.embed([file(5)]);
  await encoder.dispose();
  const length = Math.hypot(...expected);
  expect(answer.features).toHaveLength(encoder.featureDim);
  // float32 through the encoder, and the graph's own resizing.
  for (const [i, value] of answer.features.entries()) expect(value).toBeCloseTo(expected[i] / length, 4);
});

it('finds an image of the gallery first', async () => {
  const { answer } = await post('/neighbours?k=3', readFileSync(file(7)));
  const { neighbours } = answer;
  expect(
    neighbours
      .slice(0, 2)
      .map(({ name }) => name)
      .sort(),
  ).toEqual(['07.png', join('dogs', 'rex.JPG')]);
  expect(neighbours[1].similarity).toBeCloseTo(1, 5);
  expect(neighbours).toHaveLength(3);
  expect(neighbours[2].similarity).toBeLessThan(neighbours[1].similarity);
});

it('takes no more memory for many large images than for one, and draws no SVG', async () => {
  const plain = (side) =>
    sharp({ create: { width: side, height: side, channels: 3, background: 'red' } }).png();
  const large = join(folder, 'large.png');
  writeFileSync(large, await plain(8000).toBuffer());
  const larger = join(folder, 'larger.png');
  writeFileSync(larger, await plain(8200).toBuffer());
  const svg =
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
  const child = `import { readFileSync } from 'node:fs';
import { createService } from './index.js';
const app = await createService(${JSON.stringify(join(folder, 'model.onnx'))}, ${JSON.stringify(gallery)});
const post = (body) => app.request('/features', { method: 'POST', body });
const bodies = [...Array(4).fill(readFileSync(${JSON.stringify(large)})), readFileSync(${JSON.stringify(larger)}), ${JSON.stringify(svg)}];
const answers = await Promise.all(bodies.map(post));
console.log(JSON.stringify({ status: answers.map(({ status }) => status), peak: process.resourceUsage().maxRSS / 1024 }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', child], {
    cwd: import.meta.dirname,
  });
  const { status, peak } = JSON.parse(stdout);
  expect(status).toEqual([200, 200, 200, 200, 400, 400]);
  // 64 million pixels are 183 MiB as bytes, 730 as floats; the service alone takes some 200.
  expect(peak).toBeLessThan(450);
});

it('refuses what is no image', async () => {
  const error = 'the body is no image that can be read';
  expect(await post('/features', 'no image')).toEqual({ status: 400, answer: { error } });
  expect(await post('/neighbours?k=none', readFileSync(file(0)))).toMatchObject({ status: 400 });
});
