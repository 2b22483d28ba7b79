// A Python with the peers: the given one, or an environment in benchmarks/.venv that is made on first use.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

export function pythonWithPeers(given) {
  if (given) return given;
  const environment = join(root, 'benchmarks', '.venv');
  const interpreter = join(environment, 'bin', 'python');
  if (!existsSync(interpreter)) {
    console.error('making an environment with PyTorch ...');
    execFileSync('python3', ['-m', 'venv', environment], { stdio: 'inherit' });
    const requirements = join(root, 'parity', 'requirements.txt');
    execFileSync(interpreter, ['-m', 'pip', 'install', '--quiet', '-r', requirements], { stdio: 'inherit' });
  }
  return interpreter;
}
