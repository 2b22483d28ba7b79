// Runs of `moco` that are logged to the MLflow server at an address, and what that server then tells of them.
// `node mlflow-check.mjs URL FOLDER`; called by test-mlflow.sh.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodePng } from '../packages/data/dist/index.js';

const [address, work] = process.argv.slice(2);
const bin = join(dirname(dirname(fileURLToPath(import.meta.url))), 'packages', 'cli', 'dist', 'bin.js');

const images = join(work, 'images');
for (const split of ['train', 'val'])
  for (const [c, name] of ['a', 'b'].entries()) {
    mkdirSync(join(images, split, name), { recursive: true });
    for (let i = 0; i < 8; i++) {
      const data = Uint8Array.from({ length: 16 * 16 * 3 }, (_, at) => (at * (i + 7) * (c + 1)) % 251);
      const png = await encodePng({ width: 16, height: 16, data });
      writeFileSync(join(images, split, name, `${i}.png`), png);
    }
  }

/** Runs the command. @param onText is called with all that it has printed, and the process */
function moco(args, onText = () => undefined, env = {}) {
  const child = spawn(process.execPath, [bin, ...args], { cwd: work, env: { ...process.env, ...env } });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += chunk;
      onText(text, child);
    });
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, text })));
}

/** A second signal would end a run at once. */
function onceSaid(said, act) {
  let done = false;
  return (text, child) => {
    if (done || !text.includes(said)) return;
    done = true;
    act(child);
  };
}

async function ask(path, body) {
  const response = await fetch(`${address}/api/2.0/mlflow/${path}`, {
    method: body ? 'POST' : 'GET',
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** The runs of an experiment, the newest first. */
async function runsOf(name) {
  const { experiment } = await ask(`experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`);
  return (await ask('runs/search', { experiment_ids: [experiment.experiment_id] })).runs ?? [];
}

const pairs = (list) => Object.fromEntries((list ?? []).map(({ key, value }) => [key, value]));
const history = async (id, metric) =>
  (await ask(`metrics/get-history?run_id=${id}&metric_key=${encodeURIComponent(metric)}&max_results=1000`))
    .metrics ?? [];
const logged = (folder, event) =>
  readFileSync(join(folder, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((line) => line.event === event);

let [passed, failed] = [0, 0];
function check(what, actual, expected) {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value));
  if (a === b) passed++;
  else failed++;
  console.log(a === b ? `ok      ${what}` : `FAILED  ${what}: ${a}, not ${b}`);
}

const small =
  '--method moco-v2 -a resnet-micro --image-size 16 -b 8 --bn-splits 2 --moco-k 16 --moco-dim 16 -j 0 --threads 1 --lr 0.01 -p 1';
const log = ['--log', `mlflow:${address}`];
const folder = join(work, 'birds');
const pretrain = [
  'pretrain',
  images,
  ...small.split(' '),
  '--out',
  folder,
  '--epochs',
  '3',
  '--knn-every',
  '1',
];

const stopped = await moco([...pretrain, ...log, '--max-steps', '3']);
check('a run exits 0, without a warning', [stopped.code, /warning/.test(stopped.text)], [0, false]);
const [first] = await runsOf('moco');
check('it is stopped, by its name', [first.info.status, first.info.run_name], ['KILLED', 'birds']);
const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')).config;
const params = pairs(first.data.params);
check('all its settings are parameters', Object.keys(params).sort(), Object.keys(config).sort());
check('with their values', [params.mocoK, params.lr, params.mlp], ['16', '0.01', 'true']);
const tags = pairs(first.data.tags);
check(
  'its backend and data are tags',
  [tags['moco.backend.name'], tags['moco.dataset.images']],
  ['ort', '16'],
);

const resumed = await moco(['pretrain', '--resume', folder, '--log', 'mlflow', '--keep', '2'], undefined, {
  MLFLOW_TRACKING_URI: address,
});
check('it goes on', resumed.code, 0);
const runs = await runsOf('moco');
check(
  'as the same run',
  runs.map(({ info }) => info.run_id),
  [first.info.run_id],
);
check('which is finished', runs[0].info.status, 'FINISHED');
check('and tells what was changed', pairs(runs[0].data.tags)['moco.changed.keep'], '2');
const id = first.info.run_id;
const losses = await history(id, 'loss');
const steps = logged(folder, 'step');
check(
  'each step has its loss',
  losses.map(({ step, value }) => [step, value]),
  steps.map(({ globalStep, loss }) => [globalStep, loss]),
);
const means = await history(id, 'mean/loss');
check(
  'each epoch has its mean',
  means.map(({ value }) => value),
  logged(folder, 'epoch').map(({ loss }) => loss),
);
const [evaluation] = logged(folder, 'evaluation');
const measured = Object.keys(runs[0].data.metrics && pairs(runs[0].data.metrics)).filter(
  (key) => key in evaluation,
);
check('evaluations are there', measured.length > 0, true);

const killed = await moco(
  [
    'pretrain',
    images,
    ...small.split(' '),
    '--out',
    join(work, 'interrupted'),
    '--epochs',
    '1000000',
    ...log,
  ],
  onceSaid('Epoch 3', (child) => child.kill('SIGINT')),
  { MLFLOW_EXPERIMENT_NAME: 'interrupted runs' },
);
const [interrupted] = await runsOf('interrupted runs');
check('an interrupted run is KILLED', [killed.code, interrupted.info.status], [130, 'KILLED']);

const diverged = await moco(
  [
    'pretrain',
    images,
    ...small.split(' '),
    '--out',
    join(work, 'diverged'),
    '--epochs',
    '50',
    '--lr',
    '1e30',
    ...log,
  ],
  undefined,
  { MLFLOW_EXPERIMENT_NAME: 'diverged' },
);
const [lost] = await runsOf('diverged');
check('a diverged run is FAILED', [diverged.code, lost.info.status], [1, 'FAILED']);

const probe = await moco([
  'lincls',
  folder,
  images,
  '--epochs',
  '2',
  '-b',
  '8',
  '-j',
  '0',
  '--out',
  join(work, 'probe'),
  ...log,
]);
const [linear] = await runsOf('moco');
const accuracies = await history(linear.info.run_id, 'test/acc1');
check(
  'a classifier has its accuracies',
  [probe.code, linear.info.run_name, accuracies.length],
  [0, 'probe', 2],
);

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
