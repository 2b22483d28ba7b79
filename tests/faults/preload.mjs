// Put in front of `moco` by --import: ends the process, as a power cut would, before or after the n-th rename or fsync.
import fs, { writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const { MOCO_FAULT_AT: at, MOCO_FAULT_COUNT: counted, MOCO_FAULT_KINDS: kinds = 'rename' } = process.env;
let points = 0;

function point() {
  points++;
  if (points === Number(at)) process.kill(process.pid, 'SIGKILL');
}

/** Two points to a call: right before it, and right behind it. */
function around(owner, name) {
  const original = owner[name];
  owner[name] = async function (...args) {
    point();
    const result = await original.apply(this, args);
    point();
    return result;
  };
}

if (isMainThread && (at !== undefined || counted !== undefined)) {
  around(fs.promises, 'rename');
  if (kinds.includes('sync')) {
    const file = await fs.promises.open(process.execPath, 'r');
    for (const name of ['sync', 'datasync']) around(Object.getPrototypeOf(file), name);
    await file.close();
  }
  syncBuiltinESMExports();
  if (counted !== undefined) process.on('exit', () => writeFileSync(counted, String(points)));
}
