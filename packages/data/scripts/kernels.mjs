// Compiles wasm/kernels.ts into src/views/kernels.bytes.ts. With --check: only compares the two.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'moco-kernels-'));
const binary = join(folder, 'kernels.wasm');
const compiler = ['--yes', '--package', 'assemblyscript@0.28.20', 'asc'];
const options = ['-O3', '--noAssert', '--converge', '--runtime', 'stub', '--enable', 'simd', '-o', binary];
execFileSync('npx', [...compiler, 'wasm/kernels.ts', ...options], { cwd: root, stdio: 'inherit' });
const text = `// Made by scripts/kernels.mjs from wasm/kernels.ts.
export const KERNELS =
  '${readFileSync(binary).toString('base64')}';
`;
rmSync(folder, { recursive: true });
const target = join(root, 'src/views/kernels.bytes.ts');
if (!process.argv.includes('--check')) writeFileSync(target, text);
else if (readFileSync(target, 'utf8') !== text) {
  console.error('kernels.bytes.ts is not what wasm/kernels.ts compiles to: run scripts/kernels.mjs');
  process.exitCode = 1;
}
