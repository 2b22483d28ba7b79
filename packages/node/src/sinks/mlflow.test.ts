import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SettingError } from '@moco-ts/core';
import type { RunFacts } from '@moco-ts/run';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { openMlflow } from './mlflow.ts';
import { trackingOf } from './mlflow-api.ts';

const folder = mkdtempSync(join(tmpdir(), 'moco-mlflow-'));
const closing: (() => void)[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => {
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

interface Request {
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly headers: IncomingHttpHeaders;
}
type Answer = readonly [status: number, body: object] | undefined;

/** A server that answers as told: undefined is no answer at all. */
async function serve(answer: (request: Request) => Answer) {
  const requests: Request[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
      const request = {
        path: incoming.url!.replace('/api/2.0/mlflow/', ''),
        body,
        headers: incoming.headers,
      };
      requests.push(request);
      const given = answer(request);
      if (given)
        response.writeHead(given[0], { 'content-type': 'application/json' }).end(JSON.stringify(given[1]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
}

/** A server that knows one run, with these parameters. */
const knowing =
  (params: readonly object[] = [], gone = false) =>
  ({ path }: Request): Answer => {
    if (path.startsWith('experiments/get-by-name')) return [404, { error_code: 'RESOURCE_DOES_NOT_EXIST' }];
    if (path === 'experiments/create') return [200, { experiment_id: '7' }];
    if (path === 'runs/create') return [200, { run: { info: { run_id: 'made' } } }];
    if (path.startsWith('runs/get'))
      return gone
        ? [404, { error_code: 'RESOURCE_DOES_NOT_EXIST' }]
        : [200, { run: { info: { run_id: 'made', lifecycle_stage: 'active' }, data: { params } } }];
    return [200, {}];
  };

let number = 0;
function facts(settings: object = { epochs: 3 }, at = join(folder, `run${number++}`)) {
  mkdirSync(at, { recursive: true });
  const warnings: string[] = [];
  const run: RunFacts = {
    ...{ folder: at, settings: settings as RunFacts['settings'], step: 0 },
    about: { backend: { name: 'ort' }, versions: { moco: '1' } },
    warn: (text) => warnings.push(String(text)),
  };
  return { run, warnings };
}

/** For a busy machine; what is waited for comes at once. */
const patiently = { timeout: 60_000 };
const quick = { pause: 1, last: 60_000 };
const at = new Date(1_700_000_000_000);
const step = (step: number, loss: number) => ({
  event: 'step',
  at,
  fields: {},
  scalars: { step, values: { loss } },
});

describe('mlflow', () => {
  it('makes an experiment and a run, with settings as parameters of 100 at most a request', async () => {
    const { address, requests } = await serve(knowing());
    const settings = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`s${i}`, i]));
    const { run, warnings } = facts({
      ...settings,
      schedule: [1, 2],
      data: 'x'.repeat(900),
      none: undefined,
    });
    vi.stubEnv('MLFLOW_EXPERIMENT_NAME', 'birds & bees');
    const sink = openMlflow(run, { address }, quick);
    sink.write(step(10, 0.5));
    sink.write({ event: 'checkpoint', at, fields: { file: 'checkpoint-1.safetensors' } });
    await sink.close('done');
    expect(warnings).toEqual([]);
    expect(requests.map(({ path }) => path)).toEqual([
      'experiments/get-by-name?experiment_name=birds%20%26%20bees',
      ...[
        'experiments/create',
        'runs/create',
        'runs/log-batch',
        'runs/log-batch',
        'runs/log-batch',
        'runs/update',
      ],
    ]);
    const [, experiment, created, first, second, values, end] = requests.map(({ body }) => body);
    expect(experiment).toEqual({ name: 'birds & bees' });
    expect(created).toMatchObject({ experiment_id: '7', run_name: run.folder.split('/').at(-1) });
    expect(created!.tags).toEqual([
      { key: 'moco.backend.name', value: 'ort' },
      { key: 'moco.versions.moco', value: '1' },
    ]);
    const params = [first, second].map((body) => body!.params as { key: string; value: string }[]);
    expect(params.map(({ length }) => length)).toEqual([100, 32]);
    expect(Object.fromEntries(params.flat().map(({ key, value }) => [key, value]))).toMatchObject({
      ...{ s0: '0', s129: '129', schedule: '[1,2]', data: 'x'.repeat(500) },
    });
    expect(values).toEqual({
      run_id: 'made',
      metrics: [{ key: 'loss', value: 0.5, timestamp: 1_700_000_000_000, step: 10 }],
      tags: [
        { key: 'moco.folder', value: run.folder },
        { key: 'moco.checkpoint', value: 'checkpoint-1.safetensors' },
      ],
    });
    expect(end).toMatchObject({ run_id: 'made', status: 'FINISHED', end_time: expect.any(Number) });
    expect(JSON.parse(readFileSync(join(run.folder, 'mlflow.json'), 'utf8'))).toEqual({ [address]: 'made' });
  });

  it.each([
    ['stopped', 'KILLED'],
    ['failed', 'FAILED'],
  ] as const)('calls a run that %s %s', async (outcome, status) => {
    const { address, requests } = await serve(knowing());
    await openMlflow(facts().run, { address }, quick).close(outcome);
    expect(requests.at(-1)!.body).toMatchObject({ status });
  });

  it('goes on with the run of its folder, whose parameters are once for all', async () => {
    const { address, requests } = await serve(knowing([{ key: 'epochs', value: '3' }]));
    const first = facts({ epochs: 3 });
    await openMlflow(first.run, { address }, quick).close('stopped');
    requests.length = 0;
    const again = facts({ epochs: 5, keep: 2 }, first.run.folder);
    await openMlflow(again.run, { address }, quick).close('done');
    expect(requests.map(({ path, body }) => [path, body])).toEqual([
      ['runs/get?run_id=made', {}],
      ['runs/update', { run_id: 'made', status: 'RUNNING' }],
      ['runs/log-batch', { run_id: 'made', params: [{ key: 'keep', value: '2' }] }],
      ['runs/log-batch', { run_id: 'made', metrics: [], tags: [{ key: 'moco.changed.epochs', value: '5' }] }],
      ['runs/log-batch', expect.objectContaining({ run_id: 'made' })],
      ['runs/update', expect.objectContaining({ status: 'FINISHED' })],
    ]);
    const gone = await serve(knowing([], true));
    await openMlflow(again.run, { address: gone.address }, quick).close('done');
    expect(gone.requests.map(({ path }) => path)).toContain('runs/create');
  });

  it('tells values that are no numbers by the names that the API has for them', async () => {
    const { address, requests } = await serve(knowing());
    const sink = openMlflow(facts().run, { address }, quick);
    const values = { 'odd: name': Number.NaN, up: Number.POSITIVE_INFINITY };
    sink.write({ event: 'step', at, fields: {}, scalars: { step: 1, values } });
    await sink.close('done');
    const { metrics } = requests.find(({ body }) => body.metrics)!.body as {
      metrics: { key: string; value: unknown }[];
    };
    expect(metrics.map(({ key, value }) => [key, value])).toEqual([
      ['odd_ name', 'NaN'],
      ['up', 'Infinity'],
    ]);
  });

  it('goes on without a server that never answers, and says once what is lost', async () => {
    const { address, requests } = await serve(() => undefined);
    const { run, warnings } = facts();
    const sink = openMlflow(run, { address }, { pause: 1, last: 30 });
    for (let i = 0; i < 30_000; i++) sink.write(step(i, 1));
    await vi.waitUntil(() => requests.length > 0, patiently);
    await sink.close('done');
    expect(warnings).toEqual([`mlflow: 30002 values did not reach ${address}; log.jsonl has all of them`]);
  });

  it('warns once of a server that is not there', async () => {
    const { run, warnings } = facts();
    const sink = openMlflow(run, { address: 'http://127.0.0.1:9' }, quick);
    for (let i = 0; i < 10; i++) sink.write(step(i, 1));
    await sink.close('done');
    expect(warnings).toEqual([
      expect.stringMatching(
        /^mlflow: http:\/\/127\.0\.0\.1:9 does not answer \(.+\); the run goes on, and log\.jsonl has everything$/,
      ),
      'mlflow: 12 values did not reach http://127.0.0.1:9; log.jsonl has all of them',
    ]);
  });

  it('sends again what a busy server did not take', async () => {
    let busy = 2;
    const known = knowing();
    const { address, requests } = await serve((request) =>
      request.body.metrics && busy-- > 0 ? [503, {}] : known(request),
    );
    const { run, warnings } = facts();
    const sink = openMlflow(run, { address }, quick);
    sink.write(step(4, 2));
    await vi.waitUntil(() => requests.filter(({ body }) => body.metrics).length === 3, patiently);
    await sink.close('done');
    expect(warnings).toEqual([expect.stringContaining('answers 503; the run goes on')]);
    expect(requests.at(-1)!.body).toMatchObject({ status: 'FINISHED' });
  });

  it('tells what a server refuses, in its words on one line', async () => {
    const { address } = await serve(() => [
      401,
      { error_code: 'UNAUTHENTICATED', message: 'who are\nyou?\x1b[31m' },
    ]);
    const { run, warnings } = facts();
    await openMlflow(run, { address }, quick).close('done');
    expect(warnings[0]).toBe(
      `mlflow: ${address} answers 401, UNAUTHENTICATED, who are; you?\\x1b[31m; the run goes on, and log.jsonl has everything`,
    );
  });

  it('asks again for an experiment that another run has just made', async () => {
    const known = knowing();
    let asked = 0;
    const { address, requests } = await serve((request) => {
      if (request.path.startsWith('experiments/get-by-name') && asked++ > 0)
        return [200, { experiment: { experiment_id: '8' } }];
      if (request.path === 'experiments/create') return [400, { error_code: 'RESOURCE_ALREADY_EXISTS' }];
      return known(request);
    });
    const { run, warnings } = facts();
    await openMlflow(run, { address }, quick).close('done');
    expect(warnings).toEqual([]);
    expect(requests.find(({ path }) => path === 'runs/create')!.body.experiment_id).toBe('8');
    expect(requests.at(-1)!.body).toMatchObject({ status: 'FINISHED' });
  });

  it('loses nothing by a refusal while the run begins', async () => {
    const known = knowing();
    let refusals = 1;
    const { address, requests } = await serve((request) =>
      request.path === 'runs/create' && refusals-- > 0 ? [400, {}] : known(request),
    );
    const { run, warnings } = facts();
    const sink = openMlflow(run, { address }, quick);
    sink.write(step(4, 2));
    await sink.close('done');
    expect(warnings).toEqual([expect.stringContaining('answers 400; the run goes on')]);
    expect(requests.flatMap(({ body }) => body.metrics ?? [])).toMatchObject([{ key: 'loss', value: 2 }]);
  });

  it('begins and ends a run whose settings or numbers are refused', async () => {
    const known = knowing();
    const { address, requests } = await serve((request) =>
      request.path === 'runs/log-batch' ? [400, { error_code: 'INVALID_PARAMETER_VALUE' }] : known(request),
    );
    const { run, warnings } = facts();
    const sink = openMlflow(run, { address }, quick);
    sink.write(step(4, 2));
    await sink.close('failed');
    expect(warnings).toEqual([
      expect.stringContaining('INVALID_PARAMETER_VALUE; the run goes on'),
      expect.stringContaining('values did not reach'),
    ]);
    // Parameters, then numbers and tags together, then each alone.
    expect(requests.filter(({ path }) => path === 'runs/log-batch')).toHaveLength(4);
    expect(requests.at(-1)).toMatchObject({ path: 'runs/update', body: { status: 'FAILED' } });
  });

  it('loses no other numbers by a metric that is refused', async () => {
    const known = knowing();
    const { address, requests } = await serve((request) => {
      const metrics = (request.body.metrics ?? []) as { key: string }[];
      return metrics.some(({ key }) => key === 'odd') ? [400, { error_code: 'INVALID' }] : known(request);
    });
    const { run, warnings } = facts();
    const sink = openMlflow(run, { address }, { ...quick, pause: 10_000 });
    for (const number of [1, 2])
      sink.write({
        ...{ event: 'step', at, fields: {} },
        scalars: { step: number, values: { odd: 1, loss: 2, lr: 3 } },
      });
    await sink.close('done');
    const taken = requests
      .flatMap(({ body }) => (body.metrics ?? []) as { key: string; step: number }[])
      .filter(({ key }) => key !== 'odd');
    const names = ['loss', 'lr'].flatMap((key) => [1, 2].map((number) => `${key} ${number}`));
    expect(new Set(taken.map(({ key, step: number }) => `${key} ${number}`))).toEqual(new Set(names));
    expect(requests.flatMap(({ body }) => body.tags ?? [])).toContainEqual({
      ...{ key: 'moco.folder', value: run.folder },
    });
    expect(warnings).toEqual([
      expect.stringContaining('INVALID; the run goes on'),
      `mlflow: 2 values did not reach ${address}; log.jsonl has all of them`,
    ]);
  });

  it('follows a server to no other', async () => {
    const other = await serve(knowing());
    const server = createServer((_, response) =>
      response.writeHead(307, { location: `${other.address}/` }).end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => server.close());
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { run, warnings } = facts();
    await openMlflow(run, { address, authorization: 'Bearer secret' }, quick).close('done');
    expect(other.requests).toEqual([]);
    expect(warnings[0]).toContain('does not answer');
  });

  it('sends credentials of the environment, and keeps them to itself', async () => {
    const { address, requests } = await serve(knowing());
    const token = trackingOf(`${address}/`, { MLFLOW_TRACKING_TOKEN: 'hush' });
    const named = { MLFLOW_TRACKING_USERNAME: 'ada', MLFLOW_TRACKING_PASSWORD: 'hush' };
    const { run, warnings } = facts();
    await openMlflow(run, token, quick).close('done');
    expect(new Set(requests.map(({ headers }) => headers.authorization))).toEqual(new Set(['Bearer hush']));
    // By RFC 7617: base64 of "ada:hush".
    expect(trackingOf(address, named)).toEqual({ address, authorization: 'Basic YWRhOmh1c2g=' });
    expect(trackingOf(undefined, { MLFLOW_TRACKING_URI: 'https://ada:hush@host/ml/' })).toEqual({
      ...{ address: 'https://host/ml', authorization: 'Basic YWRhOmh1c2g=' },
    });
    expect(trackingOf(undefined, { MLFLOW_TRACKING_URI: 'https://ada:5%25@host' })).toEqual({
      ...{ address: 'https://host', authorization: 'Basic YWRhOjUl' },
    });
    expect(() => trackingOf(undefined, { MLFLOW_TRACKING_URI: 'https://ada:hush%@host' })).toThrow(
      new SettingError('a % in the name or password of MLFLOW_TRACKING_URI is written %25'),
    );
    expect(readFileSync(join(run.folder, 'mlflow.json'), 'utf8')).not.toContain('hush');
    expect(JSON.stringify([requests.map(({ body }) => body), warnings])).not.toContain('hush');
  });

  it.each([
    [undefined, /needs the address of its server: log mlflow:http:\/\/HOST:PORT, or MLFLOW_TRACKING_URI/],
    ['sqlite:///mlflow.db', /reached over HTTP.*this is another/],
    ['nonsense', /reached over HTTP/],
    ['http://ada:hush@host', /holds a password, which others could read: set MLFLOW_TRACKING_USERNAME/],
  ])('refuses the address %s', (target, message) => {
    expect(() => trackingOf(target, {})).toThrow(message);
    expect(() => trackingOf(target, {})).not.toThrow(/hush/);
  });
});
