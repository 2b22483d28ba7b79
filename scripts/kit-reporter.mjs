// A reporter of vitest that keeps what each backend's conformance kit found, for scripts/backends-matrix.mjs: one file a
// backend in coverage/kit/. A kit of which a part was left out (`-t`) is not kept.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const folder = join(import.meta.dirname, '..', 'coverage', 'kit');

export default class KitReporter {
  onTestRunEnd(modules) {
    for (const { moduleId, children } of modules) {
      if (!/\/conformance\.\w+\.ts$/.test(moduleId)) continue;
      // Suites of several replicas are of no op alone.
      for (const suite of children.suites()) if (!suite.name.endsWith(' replicas')) keep(suite);
    }
  }
}

function keep({ name: backend, children }) {
  const rows = {};
  let tolerance;
  for (const test of children.allTests()) {
    const { state } = test.result();
    if (state === 'skipped' || state === 'pending') return;
    if (test.parent.name === backend) continue;
    rows[test.parent.name] ??= { passed: 0, run: 0 };
    const row = rows[test.parent.name];
    row.run++;
    if (state === 'passed') row.passed++;
    const { kit } = test.meta();
    if (!kit) continue;
    row.error = Math.max(row.error ?? 0, kit.error);
    tolerance = kit.tolerance;
  }
  mkdirSync(folder, { recursive: true });
  const file = `${backend.replaceAll(/\W+/g, '-')}.json`;
  writeFileSync(join(folder, file), `${JSON.stringify({ backend, tolerance, rows }, null, 1)}\n`);
}
