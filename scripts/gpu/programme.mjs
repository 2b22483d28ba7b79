// The GPU programme, on a machine that has what run.sh names: runs its parts, each in processes of its own with a limit, writes
// FOLDER/results.json after each and prints a table.
//
//   node programme.js FOLDER [--device cuda|cpu] [--tiny] [--seconds 590] [--only PATTERN] [--python python3]
//
// Parts that FOLDER has already are left out: a second call goes on where the first one ended.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, environment } from './machine.mjs';
import { partsOf } from './parts.mjs';
import { lineOf, table } from './table.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    tiny: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '590' },
    only: { type: 'string', default: '.' },
    python: { type: 'string', default: 'python3' },
  },
});
const [given] = positionals;
if (!given) {
  console.error('node programme.js FOLDER [--device cuda|cpu] [--tiny] [--seconds 590] [--only PATTERN]');
  process.exit(2);
}
/** Less time than this is no use to any part, in seconds. */
const LEAST = values.tiny ? 1 : 15;
const began = performance.now();
const seconds = () => (performance.now() - began) / 1000;
const out = resolve(given);
mkdirSync(out, { recursive: true });
const app = import.meta.dirname;
const here = dirname(app);
const path = join(out, 'results.json');
const machine = describeMachine(values.python);
const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).parts : {};
const results = { machine, device: values.device, tiny: values.tiny, parts: before };
const own = environment(here, machine);
const theirs = {
  PYTHONUNBUFFERED: '1',
  TORCHINDUCTOR_CACHE_DIR: join(tmpdir(), 'moco-inductor'),
  XLA_PYTHON_CLIENT_PREALLOCATE: 'false',
  // On a processor threads that spin for each other take minutes where there is other work.
  ...(values.device === 'cpu' && { OMP_NUM_THREADS: '1' }),
};
const running = new Set();
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    end();
    process.exit(1);
  });

say(
  `${machine.card ?? 'no NVIDIA card'}, ${machine.cores} cores, Python ${machine.python?.version ?? 'is missing'}`,
);
const only = new RegExp(values.only);
const parts = partsOf({ device: values.device, tiny: values.tiny, cores: machine.cores }).filter(
  ({ name, program: [interpreter] }) =>
    only.test(name) &&
    !(name in before && !before[name].failed) &&
    (interpreter === 'node' || machine.python),
);
const waiting = new Map(parts.filter(({ waits }) => waits).map((part) => [part.name, start(part)]));
await Promise.all(parts.filter(({ together }) => together).map((part) => finish(part, start(part))));
for (const part of parts.filter(({ together }) => !together)) {
  if (seconds() > Number(values.seconds) - LEAST) {
    say(`no time for ${part.name}`);
    continue;
  }
  await finish(part, waiting.get(part.name) ?? start(part));
}
end();
say('done');
console.log(`\n${table(results)}`);

function resultOf(name) {
  return join(out, `${name}.json`);
}

/** A part's process, leader of a group. One that waits does so until its input ends. */
function start({ name, waits, program: [interpreter, script, ...args] }) {
  const node = interpreter === 'node';
  const command = node ? process.execPath : values.python;
  const file = join(node ? app : join(here, 'python'), script);
  rmSync(resultOf(name), { force: true });
  const child = spawn(command, [file, ...args, '--out', resultOf(name), ...(waits ? ['--wait'] : [])], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: { ...process.env, ...(node ? own : theirs) },
  });
  running.add(child);
  const log = createWriteStream(join(out, `${name}.log`));
  for (const stream of [child.stdout, child.stderr]) stream.pipe(log, { end: false });
  // A child that is gone reads no more.
  child.stdin.on('error', () => undefined);
  const ended = new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => done(signal ?? code));
  });
  ended.then(() => running.delete(child));
  return { child, ended };
}

/** Lets a part go, ends it at its limit or that of all, and keeps what it has written. */
async function finish({ name, kind, seconds: limit, program }, { child, ended }) {
  const from = seconds();
  child.stdin.end();
  const left = Math.max(1, Math.min(limit, Number(values.seconds) - from));
  const timer = setTimeout(() => kill(child), left * 1000);
  const code = await ended;
  clearTimeout(timer);
  const file = resultOf(name);
  const result = readResult(file);
  const failed =
    code === 0 && result !== undefined
      ? undefined
      : `${code === 'SIGKILL' ? 'out of time' : `ended with ${code}`}`;
  const part = { kind, program, seconds: Math.round(seconds() - from), ...(failed && { failed }), result };
  results.parts[name] = part;
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
  say(lineOf(name, part));
}

/** What a part has written: of one that was ended, what it had by then. */
function readResult(file) {
  try {
    // Of a kit's cases the file has each.
    const { cases: _, ...result } = JSON.parse(readFileSync(file, 'utf8'));
    return result;
  } catch {
    return undefined;
  }
}

function kill(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function end() {
  for (const child of running) kill(child);
}

function say(text) {
  console.log(`[${Math.round(seconds())} s] ${text}`);
}
