/** ONNX Runtime's telemetry leaves files below the cache folder and the temporary one: none may be there. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'moco-runtime-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const of = (path: string) => new URL(path, import.meta.url).href;
const sources = `import { register } from '${import.meta.resolve('tsx/esm/api')}';
register({ tsconfig: '${fileURLToPath(of('../../data/tsconfig.sources.json'))}' });
const { loadRuntime } = await import('${of('./runtime.ts')}');
const { probeBlock } = await import('${of('./probe.ts')}');
const opened = async () => console.log((await probeBlock(await loadRuntime())) >= 0);
`;
const inWorker = (options: string) => `import { isMainThread, Worker } from 'node:worker_threads';
if (isMainThread) new Worker(new URL(import.meta.url), ${options});
else {
  ${sources.replace(/^import .*$/m, (line) => line.replace('import { register } from', 'const { register } = await import(').replace(/;$/, ');'))}
  await opened();
}
`;

it.each([
  ['the main thread', `${sources}await opened();\n`],
  ['a worker thread', inWorker('{}')],
  ['a worker thread with an environment of its own', inWorker('{ env: {} }')],
  ['a worker thread that thinks it is off', inWorker("{ env: { ORT_DISABLE_TELEMETRY: '1' } }")],
])('telemetry is off in %s', (name, program) => {
  const home = join(folder, name.replaceAll(' ', '-'));
  const temporary = join(home, 'tmp');
  mkdirSync(temporary, { recursive: true });
  const file = join(folder, 'program.mjs');
  writeFileSync(file, program);
  const { ORT_DISABLE_TELEMETRY: _, ...inherited } = process.env;
  const env = { ...inherited, HOME: home, XDG_CACHE_HOME: join(home, 'cache'), TMPDIR: temporary };
  const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', env });
  expect([stdout, stderr]).toEqual(['true\n', '']);
  expect(readdirSync(home)).toEqual(['tmp']);
  // A cache of compiled sources may be there.
  expect(readdirSync(temporary).filter((each) => !each.startsWith('tsx-'))).toEqual([]);
});
