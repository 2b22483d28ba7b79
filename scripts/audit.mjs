// Known vulnerabilities of what the packages depend on, from the registry: fails for high and critical ones. A registry without
// the endpoint is told, and is no failure.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { stdout, stderr } = spawnSync(
  'npm',
  ['exec', '--yes', '--', packageManager, 'audit', '--prod', '--json'],
  { cwd: root, encoding: 'utf8', shell: process.platform === 'win32' },
);
const report = parsed(stdout);
if (!report?.metadata) {
  const reason = /responded with (\d+)/.exec(`${stdout}${stderr}`)?.[1];
  console.log(`not audited: the registry has no answer${reason ? ` (${reason})` : ''}`);
} else {
  const { high = 0, critical = 0, moderate = 0, low = 0 } = report.metadata.vulnerabilities;
  for (const { severity, module_name: name, title, url } of Object.values(report.advisories ?? {}))
    console.log(`${severity}: ${name}: ${title} ${url}`);
  console.log(`${critical} critical, ${high} high, ${moderate} moderate, ${low} low`);
  process.exitCode = high + critical > 0 ? 1 : 0;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
