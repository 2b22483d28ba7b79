/** The page trains on WebGPU (in software where there is no GPU), and what it saves is what `moco` and ONNX Runtime read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadRuntime } from '@moco-ts/backend-ort';
import { unitRows } from '@moco-ts/core';
import { decodeFile } from '@moco-ts/data';
import { beforeAll, expect, it } from 'vitest';
import { moco, temporaryFolder } from '../../../packages/cli/src/testing.ts';
import { openVectors } from '../../../packages/cli/src/vectors/file.ts';
import { decodeCheckpoint } from '../../../packages/run/src/checkpoint.ts';
import { download, inPhase, look, openFolder, set, type Tab, tabs } from './browser.ts';
import { emojiFolder } from './images.ts';

const ort = await loadRuntime();
const open = tabs('--enable-unsafe-webgpu');
const images = await emojiFolder(64);
const folder = temporaryFolder();
/** 64 images in batches of 16: five epochs. */
const STEPS = 20;
const files = { checkpoint: '', model: '', features: '' };
let tab: Tab;

beforeAll(async () => {
  tab = await open();
  const { page } = tab;
  await openFolder(page, images);
  await set(page, {
    backend: 'webgpu',
    arch: 'resnet-micro',
    batchSize: '16',
    mocoK: '64',
    epochs: '5',
    lr: '0.005',
  });
  await page.click('#main');
  await inPhase(page, 'finished');
  for (const kind of ['checkpoint', 'model', 'features'] as const)
    files[kind] = await download(page, kind, folder);
});

it('trains 20 steps, and the loss falls', async () => {
  expect(await tab.page.textContent('#n-backend')).toMatch(/^WebGPU/);
  // Asked for by name it is taken, also where the processor computes it.
  const note = await tab.page.textContent('#note');
  if (note !== '')
    expect(note).toMatch(/^WebGPU is computed by the processor here \(.+\): WebAssembly is quicker\.$/);
  expect(await tab.page.textContent('#n-step')).toBe(`${STEPS} of ${STEPS}`);
  const { info } = decodeCheckpoint(readFileSync(files.checkpoint), files.checkpoint);
  const { losses, globalStep } = info;
  expect(globalStep).toBe(STEPS);
  expect(losses).toHaveLength(STEPS);
  expect(losses.every(Number.isFinite)).toBe(true);
  // While the queue still holds noise, every step adds keys that are harder to tell apart: 64 keys are there after four.
  const mean = (from: number, to: number) =>
    losses.slice(from, to).reduce((sum, loss) => sum + loss, 0) / (to - from);
  expect(mean(STEPS - 4, STEPS)).toBeLessThan(mean(5, 9));
  expect(mean(STEPS - 4, STEPS)).toBeLessThan(Math.log(64 + 1));
});

it('shows it: curve, views, queue, map and neighbours, in light and dark, without a complaint', async () => {
  const { page, complaints } = tab;
  await page.waitForFunction(() =>
    /after 20 steps|After 20 steps/.test(document.getElementById('agreement')!.textContent!),
  );
  expect(await page.getAttribute('#curve svg', 'aria-label')).toMatch(/at step 20; guessing costs 4\.17/);
  expect(await page.textContent('#queue-age')).toBe('64 keys in 4 batches; the oldest are 3 steps old.');
  expect(await page.getAttribute('#view-query', 'aria-label')).toMatch(/^Query view of .*\.png$/);
  const positions = await page.$$eval('#map .tile', (tiles) =>
    tiles.map((tile) => tile.getAttribute('style')),
  );
  expect(new Set(positions).size).toBe(64);
  await page.click('#map .tile >> nth=5', { force: true });
  expect(await page.locator('#near ol li').count()).toBe(8);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  for (const [colorScheme, color] of [
    ['light', 'rgb(255, 255, 255)'],
    ['dark', 'rgb(22, 24, 28)'],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    expect(await ground()).toBe(color);
    const { colors, plain } = await look(page, `trained-${colorScheme}`);
    expect(colors).toBeGreaterThan(1000);
    expect(plain).toBeLessThan(0.8);
  }
  expect(complaints).toEqual([]);
});

it('gives an ONNX model whose features are those of the page', async () => {
  const file = await openVectors(files.features);
  const ids = await file.ids();
  const values = await file.vectors();
  expect(ids).toHaveLength(64);
  const raw = await Promise.all(ids.map((id) => decodeFile(join(images, id))));
  const session = await ort.InferenceSession.create(files.model);
  const bytes = Buffer.concat(raw.map(({ data }) => data));
  const tensor = new ort.Tensor('uint8', new Uint8Array(bytes), [64, 32, 32, 3]);
  const output = (await session.run({ images: tensor })).features!;
  expect(output.dims).toEqual([64, file.dim]);
  // The file's have length 1.
  const unit = unitRows(output.data as Float32Array, file.dim);
  const apart = unit.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
  // `moco export` holds its models to the same.
  expect(apart).toBeLessThan(1e-4);
});

it('gives a checkpoint that moco exports, measures and goes on from', async () => {
  const model = join(folder, 'again.onnx');
  const exported = await moco('export', files.checkpoint, '-o', model, '--with-preprocess');
  expect(exported).toMatchObject({ code: 0, err: '' });
  const session = await ort.InferenceSession.create(model);
  expect(session.outputNames).toEqual(['features']);
  expect(readFileSync(model).equals(readFileSync(files.model))).toBe(true);
  const measured = await moco('knn', files.checkpoint, images);
  expect(measured.code).toBe(0);
  expect(measured.out).toMatch(/edited copies/);
  const out = join(folder, 'run');
  const more = await moco(
    'pretrain',
    images,
    '--resume',
    files.checkpoint,
    '--out',
    out,
    '--epochs',
    '6',
    '-j',
    '0',
  );
  expect(more).toMatchObject({ code: 0, err: '' });
  expect(more.out).toMatch(/from epoch 5/);
});

it('is left for WebAssembly where the processor computes it, unless it is asked for', async () => {
  const { page, complaints } = await open();
  const software = await page.evaluate(async () => {
    const { gpu } = navigator as unknown as {
      gpu: { requestAdapter(): Promise<{ info: { architecture: string } }> };
    };
    return (await gpu.requestAdapter()).info.architecture === 'swiftshader';
  });
  await openFolder(page, images);
  await set(page, { arch: 'resnet-micro', batchSize: '16', mocoK: '64', epochs: '1' });
  await page.click('#main');
  await inPhase(page, 'finished');
  const backend = await page.textContent('#n-backend');
  if (software) {
    expect(backend).toBe('WebAssembly, resnet-micro');
    expect(await page.textContent('#note')).toBe(
      'Training runs on WebAssembly: WebGPU is computed by the processor here (google swiftshader).',
    );
  } else expect(backend).toMatch(/^WebGPU/);
  expect(complaints).toEqual([]);
});
