// The packages as a user gets them: packed, installed into an empty folder by npm, compiled against and run.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packAll } from './packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'moco-install-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

function run(cwd, command, ...args) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (status === 0) return stdout;
  console.error(`${command} ${args.join(' ')} failed\n${stdout}\n${stderr}`);
  process.exit(1);
}

const packs = join(folder, 'packs');
mkdirSync(packs);
const files = Object.fromEntries(
  Object.entries(packAll(packs)).map(([name, { archive }]) => [name, `file:packs/${basename(archive)}`]),
);
const { 'moco-ts': library, '@moco-ts/backend-testing': _, ...overrides } = files;
const manifest = {
  name: 'user',
  private: true,
  type: 'module',
  dependencies: { 'moco-ts': library },
  overrides,
};
writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
const compiler = read(join(root, 'node_modules', 'typescript', 'package.json')).version;
run(
  folder,
  'npm',
  'install',
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
  '--save-dev',
  `typescript@${compiler}`,
  '@types/node@20',
);

writeFileSync(
  join(folder, 'user.ts'),
  `import { loadEncoder, type OwnDataset, pretrain } from 'moco-ts';

const noise: OwnDataset = {
  name: 'noise',
  length: 40,
  decode: (index) => ({ width: 16, height: 16, data: new Uint8Array(768).map((_, i) => (i * (index + 7)) & 255) }),
};
const recipe = { method: 'moco-v2', arch: 'resnet-micro', imageSize: 16, batchSize: 16, mocoK: 32, epochs: 1 } as const;
const run = pretrain({ ...recipe, data: noise, workers: 1, out: 'run' });
let steps = 0;
for await (const { loss } of run) if (Number.isFinite(loss)) steps++;
const encoder = await loadEncoder((await run.result).checkpoint);
const [row] = await encoder.embed([await noise.decode(3)]);
console.log(steps, row?.length === encoder.featureDim);
await encoder.dispose();
`,
);
// Declarations are checked too: no skipLibCheck.
run(
  folder,
  join('node_modules', '.bin', 'tsc'),
  '--strict',
  '--module',
  'nodenext',
  '--target',
  'es2023',
  '--types',
  'node',
  'user.ts',
);
const output = run(folder, process.execPath, 'user.js').trim();
if (output !== '2 true') {
  console.error(`the library said "${output}" instead of "2 true"`);
  process.exit(1);
}
const command = run(folder, join('node_modules', '.bin', 'moco'), '--version').trim();
console.log(`moco-ts ${command} installs, compiles and trains`);
