// Publishes what the registry lacks of the packages, after a look at what they hold. With --dry-run nothing is sent.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function run(command, ...args) {
  const shell = process.platform === 'win32';
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell });
  if (status !== 0) process.exit(status ?? 1);
}

const trial = process.argv.includes('--dry-run') ? ['--dry-run', '--no-git-checks'] : [];
run(process.execPath, join('scripts', 'check-packages.mjs'));
run('npm', 'exec', '--yes', '--', packageManager, '--recursive', 'publish', ...trial);
