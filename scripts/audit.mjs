// Known vulnerabilities of what the packages depend on: fails for high and critical ones. The registry is asked by npm's
// endpoint, then by the older ones; where it has none of them, a list of this repository is compared with. It is said which.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { askRegistry, compare, packagesOf, readPnpmAudit } from './audit/advisories.mjs';

const root = join(import.meta.dirname, '..');
const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const options = { cwd: root, encoding: 'utf8', shell: process.platform === 'win32', maxBuffer: 2 ** 28 };
const npm = (...args) => spawnSync('npm', args, options).stdout;
const pnpm = (...args) => npm('exec', '--yes', '--', packageManager, ...args);

const packages = packagesOf(
  JSON.parse(pnpm('list', '--prod', '--recursive', '--depth', 'Infinity', '--json')),
);
const count = Object.keys(packages).length;
if (count === 0) {
  console.error('no packages are listed: nothing was audited');
  process.exit(1);
}
const { advisories, by } = await ask();
for (const { severity, name, title, url } of advisories) console.log(`${severity}: ${name}: ${title} ${url}`);
const serious = advisories.filter(({ severity }) => severity === 'high' || severity === 'critical');
console.log(
  `${count} packages, ${advisories.length} advisories, ${serious.length} high or critical, by ${by}`,
);
process.exitCode = serious.length > 0 ? 1 : 0;

async function ask() {
  const registry = npm('config', 'get', 'registry').trim();
  const answer = await askRegistry(registry, packages);
  if (answer.advisories) return { ...answer, by: "the registry's bulk endpoint" };
  const older = readPnpmAudit(pnpm('audit', '--prod', '--json'));
  if (older.advisories) return { ...older, by: 'pnpm audit' };
  const list = JSON.parse(readFileSync(join(import.meta.dirname, 'audit', 'known.json'), 'utf8'));
  return {
    advisories: compare(packages, list),
    by: `scripts/audit/known.json of ${list.date}, ${list.advisories.length} advisories alone: the registry has no answer (${answer.reason})`,
  };
}
