// Runs models in onnxruntime-web and onnxruntime-node on the same input: node ort-web-check.mjs FOLDER MODEL...
// FOLDER has the package. In Node its WebAssembly is loaded; where there is a Chromium (MOCO_CHROMIUM, or in the PATH) a page runs
// them as well.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { basename, extname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { loadRuntime } from '../packages/backend-ort/dist/index.js';

const [folder, ...models] = process.argv.slice(2);
const node = await loadRuntime();
const web = await import(
  pathToFileURL(createRequire(join(folder, 'package.json')).resolve('onnxruntime-web')).href
);

/** Relative to the largest feature: float32 sums in another order. */
const tolerance = 1e-5;
const browser = await openBrowser();
const runtimes = {
  'WebAssembly in Node': (model) => run(web.default ?? web, readFileSync(model), dimsOf(model)),
};
if (browser) runtimes.Chromium = (model) => browser.run(`/${basename(model)}`, dimsOf(model));
else console.log('no Chromium is found: not run in a browser');

let [passed, failed] = [0, 0];
for (const model of models) {
  const expected = await run(node, readFileSync(model), dimsOf(model));
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (const [name, features] of Object.entries(runtimes)) {
    const actual = await features(model);
    const apart =
      actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0) / largest;
    const passes = actual.length === expected.length && largest > 0 && apart < tolerance;
    if (passes) passed++;
    else failed++;
    console.log(
      `${passes ? 'ok' : 'FAILED'} ${basename(model)}, ${name}: ${actual.length / 3} features, ${apart.toExponential(1)} apart`,
    );
  }
}
await browser?.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

function dimsOf(model) {
  return model.includes('--with-preprocess') ? [3, 20, 30, 3] : [3, 3, 16, 16];
}

/** In Node and, as text, in a page. */
async function run(ort, bytes, dims) {
  const size = dims.reduce((product, extent) => product * extent);
  const values = Array.from({ length: size }, (_, i) => (i * 7919) % 256);
  const raw = dims.at(-1) === 3;
  const data = raw ? Uint8Array.from(values) : Float32Array.from(values, (value) => value / 64 - 2);
  const session = await ort.InferenceSession.create(bytes);
  const input = new ort.Tensor(raw ? 'uint8' : 'float32', data, dims);
  const { features } = await session.run({ [session.inputNames[0]]: input });
  return [...features.data];
}

async function openBrowser() {
  const executablePath = process.env.MOCO_CHROMIUM ?? inPath();
  if (!executablePath) return undefined;
  const types = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.wasm': 'application/wasm' };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname === '/')
      return response.setHeader('content-type', 'text/html').end('<!doctype html><title>.</title>');
    try {
      const bytes = readFileSync(join(folder, normalize(pathname)));
      response.setHeader('content-type', types[extname(pathname)] ?? 'application/octet-stream').end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const started = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const page = await started.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  return {
    run: (path, dims) =>
      page.evaluate(
        async ([text, from, shape]) => {
          const ort = await import('/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs');
          const bytes = new Uint8Array(await (await fetch(from)).arrayBuffer());
          ort.env.wasm.numThreads = 1;
          const made = await import(
            URL.createObjectURL(new Blob([`export default ${text}`], { type: 'text/javascript' }))
          );
          return made.default(ort, bytes, shape);
        },
        [run.toString(), path, dims],
      ),
    close: async () => {
      await started.close();
      server.close();
    },
  };
}

function inPath() {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const folders = (process.env.PATH ?? '').split(':');
  return folders.flatMap((place) => names.map((name) => join(place, name))).find(existsSync);
}
