import { spawnSync } from 'node:child_process';
import { cpSync, realpathSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { decodeBytes } from '../decode.ts';
import { openDataset } from '../open.ts';
import { temporaryFolder, write, writeImages } from '../testing.ts';

const root = temporaryFolder();

/** A file that is HEIC by its first box. What follows is the stub's own form: width, height, RGBA. */
const heic = (width: number, height: number, ...pixels: number[]) =>
  Buffer.concat([
    Buffer.from('000000186674797068656963000000006d69663168656963', 'hex'),
    Buffer.from([width, height, ...pixels]),
  ]);

/** A package of heic-decode's form, as its documentation gives it. */
const stub = `module.exports.all = async ({ buffer }) => {
  const at = 24;
  if (buffer.length < at + 2) throw new Error('HEIF image not found');
  const [width, height] = [buffer[at] === 255 ? 10000 : buffer[at], buffer[at + 1] === 255 ? 10000 : buffer[at + 1]];
  const decode = async () => ({ width, height, data: Uint8ClampedArray.from(buffer.subarray(at + 2)) });
  return Object.defineProperty([{ width, height, decode }], 'dispose', { value: () => undefined });
};`;

/** Where this package lies, and those that it needs. */
const installed = fileURLToPath(new URL('../../', import.meta.url));

/** A project with MoCo.ts's sources installed in it, by copies of their own. */
function project(name: string): string {
  const modules = join(root, name, 'node_modules');
  const data = join(modules, '@moco-ts/data');
  cpSync(join(installed, 'src'), join(data, 'src'), { recursive: true });
  for (const file of ['package.json', 'tsconfig.sources.json'])
    cpSync(join(installed, file), join(data, file));
  const link = (from: string, to: string) =>
    symlinkSync(realpathSync(join(installed, from)), join(modules, to));
  link('../core', '@moco-ts/core');
  link('node_modules/sharp', 'sharp');
  link('../../node_modules/tsx', 'tsx');
  return join(root, name);
}

/** Runs a program in a project. */
function runProgram(folder: string, text: string): unknown {
  const program = join(folder, 'program.mts');
  const data = join(folder, 'node_modules/@moco-ts/data');
  const index = pathToFileURL(join(data, 'src/index.ts')).href;
  write(
    program,
    `import { createLoader, createPool, decodeFile, openDataset, views } from '${index}';\n${text}`,
  );
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', program], {
    cwd: folder,
    env: { ...process.env, TSX_TSCONFIG_PATH: join(data, 'tsconfig.sources.json') },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

it('where no package reads it, such files are passed by, with the line that installs one', async () => {
  const folder = join(root, 'photos');
  await writeImages(folder, 2);
  for (const name of ['a.heic', 'b.HEIC', 'c.heif']) write(join(folder, name), heic(1, 1, 1, 2, 3, 255));
  const { length, notes } = await openDataset(folder);
  expect(length).toBe(2);
  expect(notes).toEqual([
    `${folder}: 3 files passed by: 2 .heic, 1 .heif; to read HEIC, beside MoCo.ts: npm install heic-decode`,
  ]);
  await expect(decodeBytes(heic(1, 1, 1, 2, 3, 255), 'a.jpg')).rejects.toThrow(
    'a.jpg: not a readable image (HEIC is read by a package of its own: npm install heic-decode)',
  );
});

it('a package beside MoCo.ts reads them, in every thread and process', () => {
  const folder = project('project');
  write(join(folder, 'node_modules/heic-decode/index.js'), stub);
  write(join(folder, 'node_modules/heic-decode/package.json'), '{"main":"index.js"}');
  const photos = join(folder, 'photos');
  // 255 - (255 - c) 51 / 255 behind the second.
  write(join(photos, 'a.heic'), heic(2, 1, 10, 20, 30, 255, 205, 155, 105, 51));
  write(join(photos, 'b.heif'), heic(1, 1, 7, 8, 9, 255));
  write(join(photos, 'c.jpg'), heic(1, 1, 7, 8, 9, 255));
  write(join(photos, 'd.heic'), heic(255, 255));
  write(join(photos, 'e.heic'), heic(1, 1).subarray(0, 24));
  const answer = runProgram(
    folder,
    `const set = await openDataset(${JSON.stringify(photos)});
const decoded = [];
for (let i = 0; i < set.length; i++)
  decoded.push(await set.decode(i).then(({ width, height, data }) => [width, height, ...data], (error) => error.message));
const made = [];
for (const isolate of [false, true]) {
  const options = { batch: 3, size: 4, views: views.v1({ size: 4 }), mean: [0, 0, 0], std: [1, 1, 1], seed: 0, workers: 1, maxBad: 2 };
  const pool = createPool(1, { isolate });
  const loader = createLoader(set, { ...options, pool });
  for await (const { indices } of loader.epoch(0)) made.push([...indices].sort());
  await pool.close();
}
console.log(JSON.stringify({ notes: set.notes, decoded, made }));`,
  );
  expect(answer).toEqual({
    notes: [],
    decoded: [
      [2, 1, 10, 20, 30, 245, 235, 225],
      [1, 1, 7, 8, 9],
      [1, 1, 7, 8, 9],
      `${join(photos, 'd.heic')}: more than 67 million pixels: make it smaller`,
      `${join(photos, 'e.heic')}: not a readable image (HEIF image not found)`,
    ],
    made: [
      [0, 1, 2],
      [0, 1, 2],
    ],
  });
});

it('a package in the current folder alone is not run', () => {
  const other = project('other');
  const here = join(root, 'here');
  write(join(here, 'node_modules/heic-decode/index.js'), 'process.exit(7);');
  write(join(here, 'a.heic'), heic(1, 1, 1, 2, 3, 255));
  const answer = runProgram(
    other,
    `process.chdir(${JSON.stringify(here)});
console.log(JSON.stringify(await decodeFile('a.heic').catch((error) => error.message)));`,
  );
  expect(answer).toMatch(/npm install heic-decode/);
});
