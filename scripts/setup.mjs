// Installs the workspace's packages and builds it, with nothing but Node and its npm. Quick when nothing changed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { packageManager, engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`MoCo.ts needs Node ${engines.node}, this is ${process.versions.node}: install a newer one`);
  process.exit(1);
}

/** Runs a command of npm's world; ends this process when it fails. */
function run(command, args, quiet) {
  const windows = process.platform === 'win32';
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    shell: windows,
    env: { ...process.env, CI: process.env.CI ?? 'true' },
    encoding: 'utf8',
  });
  if (result.status === 0) return;
  if (quiet) console.error(`${result.stdout}\n${result.stderr}`);
  console.error(`${command} ${args.join(' ')} failed${result.error ? `: ${result.error.message}` : ''}`);
  process.exit(1);
}

const installed = join(root, 'node_modules', '.modules.yaml');
const lockfile = join(root, 'pnpm-lock.yaml');
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lockfile).mtimeMs) {
  console.error('installing packages ...');
  run(
    'npm',
    ['exec', '--yes', '--', packageManager, 'install', '--frozen-lockfile', '--prefer-offline'],
    true,
  );
}
run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-b'], true);
