// Writes the public interface of each package to etc/api, or with --check compares it with what is there.
import { join } from 'node:path';
import { compareReports, published } from './api/reports.mjs';

const check = process.argv.includes('--check');
const changed = compareReports(published(), join(import.meta.dirname, '..', 'etc', 'api'), !check);
if (!check) console.log(changed.length === 0 ? 'no interface changed' : `written: ${changed.join(', ')}`);
else if (changed.length === 0) console.log('the public interfaces are those of etc/api');
else {
  console.error(`public interfaces differ from etc/api: ${changed.join(', ')}`);
  console.error('if they should: npx tsc -b && npm run api, and commit etc/api');
  process.exit(1);
}
