// An encoder exported in each precision: bytes, what its features measure, and the time of an image and of 32.
//
//   node benchmarks/export/run.mjs RUN CALIBRATION [RUN CALIBRATION ...]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadRuntime } from '../../packages/backend-ort/dist/index.js';
import { quantile, table } from '../lib/rounds.mjs';

const root = join(import.meta.dirname, '..', '..');
const moco = join(root, 'packages', 'cli', 'dist', 'bin.js');
const ort = await loadRuntime();
const ROUNDS = 30;

const args = process.argv.slice(2);
if (args.length === 0 || args.length % 2 !== 0) {
  console.error('give RUN CALIBRATION, one or several times');
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'moco-export-'));
for (let i = 0; i < args.length; i += 2) await compare(args[i], args[i + 1]);
rmSync(folder, { recursive: true });

async function compare(run, calibration) {
  const forms = {
    fp32: [],
    fp16: ['--precision', 'fp16'],
    'int8, ranges as they come': ['--precision', 'int8'],
    'int8, calibrated': ['--precision', 'int8', '--calibrate', calibration],
  };
  const models = [];
  for (const [name, flags] of Object.entries(forms)) {
    const path = join(folder, `${models.length}.onnx`);
    const output = execFileSync(process.execPath, [moco, 'export', run, '-o', path, '--measure', ...flags], {
      encoding: 'utf8',
    });
    const cosine = /mean cosine of ([\d.]*\d)/.exec(output)?.[1] ?? '1';
    const measures = [...output.matchAll(/^ {2}(\S.*?) {2,}([\d.]+) -> ([\d.]+) % \(([+-][\d.]+)\)$/gm)];
    const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
    models.push({
      name,
      cosine,
      measures,
      session,
      bytes: readFileSync(path).length,
      seconds: { 1: [], 32: [] },
    });
  }
  for (let round = 0; round < ROUNDS; round++)
    for (const { session, seconds } of models)
      for (const batch of [1, 32]) {
        const { shape } = session.inputMetadata[0];
        const dims = [batch, ...shape.slice(1)];
        const data = new Float32Array(dims.reduce((product, extent) => product * extent)).fill(0.1);
        const started = performance.now();
        await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', data, dims) });
        seconds[batch].push(performance.now() - started);
      }
  const titles = models[0].measures.map(([, title]) => title);
  console.log(`\n${run}, one thread`);
  table([
    ['', 'MB', 'cosine', ...titles, 'ms an image', 'ms for 32'],
    ...models.map(({ name, cosine, measures, bytes, seconds }) => [
      name,
      (bytes / 1e6).toFixed(2),
      cosine,
      ...measures.map(([, , , after, change]) => `${after} (${change})`),
      quantile(seconds[1], 0.5).toFixed(2),
      quantile(seconds[32], 0.5).toFixed(1),
    ]),
  ]);
}
