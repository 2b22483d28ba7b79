import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differences, imageFolder, logged, moco, temporaryFolder, tiny } from '../testing.ts';

const images = imageFolder(16);
const run = (out: string, ...flags: string[]) => moco('pretrain', images, ...tiny, '--out', out, ...flags);
const events = (folder: string) => readdirSync(folder).filter((name) => name.includes('tfevents'));

/** A plugin whose sink notes all that it is told, and fails at an event if told to. */
function notebook(failsAt = ''): { readonly path: string; readonly notes: () => Record<string, unknown>[] } {
  const [path, file] = [join(temporaryFolder(), 'notebook.mjs'), join(temporaryFolder(), 'notes')];
  writeFileSync(
    path,
    `import { appendFileSync } from 'node:fs';
const note = (kind, what) => appendFileSync(${JSON.stringify(file)}, JSON.stringify({ kind, ...what }) + '\\n');
export const notebook = {
  name: 'notebook',
  open: ({ settings, about, step }, target) => {
    note('open', { epochs: settings.epochs, backend: about.backend.name, step, target });
    return {
      write: (entry) => {
        if (entry.event === ${JSON.stringify(failsAt)}) throw new Error('the notebook is full');
        note('write', { event: entry.event, values: entry.scalars?.values, at: entry.scalars?.step });
      },
      close: async (outcome) => note('close', { outcome }),
    };
  },
};
`,
  );
  const notes = () =>
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { path, notes };
}

describe('--log', () => {
  it("tells a plugin's sink each line of a run, and how it ended; a run that goes on names it again", async () => {
    const out = join(temporaryFolder(), 'run');
    const { path, notes } = notebook();
    const flags = ['--plugin', path, '--log', 'tensorboard,notebook:to/here'];
    expect((await run(out, ...flags, '--epochs', '2', '--max-steps', '3')).code).toBe(0);
    const steps = logged(out, 'step');
    expect(notes().map(({ kind, event, outcome }) => event ?? outcome ?? kind)).toEqual([
      ...['open', 'start', 'step', 'step', 'epoch', 'checkpoint', 'step', 'checkpoint', 'stopped'],
    ]);
    expect(notes()[0]).toEqual({ kind: 'open', epochs: 2, backend: 'ort', step: 0, target: 'to/here' });
    const { loss, acc1, acc5, featureStd, lr } = steps[1]!;
    expect(notes()[3]).toMatchObject({ at: 1, values: { loss, acc1, acc5, featureStd, lr } });
    expect(events(out)).toHaveLength(1);
    const before = notes().length;
    const again = await moco('pretrain', '--resume', out);
    expect(again.code).toBe(0);
    expect(again.err).toContain(
      'the run was logged to notebook too, and goes on without: --log tensorboard,notebook names all',
    );
    expect(notes()).toHaveLength(before);
  });

  it('leaves out a sink that fails, and the run goes on', async () => {
    const out = join(temporaryFolder(), 'run');
    const { path, notes } = notebook('epoch');
    const { code, err } = await run(out, '--plugin', path, '--log', 'notebook', '--epochs', '2');
    expect([code, err]).toEqual([
      0,
      'moco: warning: the log notebook failed, and gets no more of this run: the notebook is full\n',
    ]);
    expect(notes().map(({ kind }) => kind)).toEqual(['open', 'write', 'write', 'write']);
    expect([logged(out, 'epoch').length, events(out)]).toEqual([2, []]);
  });

  it('is taken by moco train, and is no setting of the run', async () => {
    const out = join(temporaryFolder(), 'run');
    const small = [
      '-a',
      'resnet-micro',
      '--image-size',
      '16',
      '-j',
      '0',
      '--threads',
      '1',
      '--backend',
      'ort',
    ];
    const train = (log: string, ...flags: string[]) =>
      moco('train', images, ...small, '--max-steps', '2', '--out', out, '--log', log, ...flags);
    const refused = await train('abacus');
    expect([refused.code, refused.out, existsSync(out)]).toEqual([1, '', false]);
    expect(refused.err).toMatch(/^moco: --log names "abacus"/);
    const { path, notes } = notebook();
    expect((await train('notebook', '--plugin', path)).code).toBe(0);
    expect(notes().at(-1)).toEqual({ kind: 'close', outcome: 'stopped' });
    const { config, log } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    expect([config.log, log]).toEqual([undefined, ['notebook']]);
  });

  it('trains the same beside an MLflow server that never answers', async () => {
    const [alone, beside] = [join(temporaryFolder(), 'a'), join(temporaryFolder(), 'b')];
    expect((await run(alone, '--epochs', '2')).code).toBe(0);
    const asked: string[] = [];
    const server = createServer(({ url }) => void asked.push(url!));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const { code, err } = await run(beside, '--epochs', '2', '--log', `mlflow:${address}`);
      expect(code).toBe(0);
      expect(err).toMatch(
        /^moco: warning: mlflow: \d+ values did not reach http:\/\/127.*; log\.jsonl has all of them\n$/m,
      );
    } finally {
      server.closeAllConnections();
      server.close();
    }
    expect(new Set(asked)).toEqual(new Set(['/api/2.0/mlflow/experiments/get-by-name?experiment_name=moco']));
    const losses = (folder: string) => logged(folder, 'step').map(({ loss }) => loss);
    expect(losses(beside)).toEqual(losses(alone));
    const [checkpoint] = readdirSync(alone)
      .filter((name) => name.startsWith('checkpoint'))
      .slice(-1);
    expect(differences(join(alone, checkpoint!), join(beside, checkpoint!))).toEqual([]);
  });

  it.each([
    [['abacus'], /^moco: --log names "abacus", which there is not; known are: tensorboard, mlflow/],
    [['tensorboard,tensorboard'], /--log names tensorboard twice/],
    [
      ['mlflow:ftp://host'],
      /mlflow is reached over HTTP, by an address such as --log mlflow:http:\/\/HOST:PORT/,
    ],
    [['mlflow:http://ada:hush@host'], /holds a password.*MLFLOW_TRACKING_PASSWORD\n$/],
  ])('refuses %s before anything is written', async ([names], message) => {
    const out = join(temporaryFolder(), 'run');
    const { code, err } = await run(out, '--log', names!);
    expect([code, err.trim().split('\n').length, existsSync(out)]).toEqual([1, 1, false]);
    expect(err).toMatch(message);
    expect(err).not.toContain('hush');
  });
});
