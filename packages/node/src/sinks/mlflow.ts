/** MLflow as a log: a run of an experiment on a tracking server, by its REST API. */
import { basename, join, resolve } from 'node:path';
import { defineLogSink, type LogEntry, type LogSink, type RunFacts, type RunOutcome } from '@moco-ts/run';
import { writeAtomic } from '../files.ts';
import { jsonIfThere } from '../source.ts';
import { createApi, type Metric, type Pair, type Status, type Tracking, trackingOf } from './mlflow-api.ts';
import { createOutbox, Refused } from './outbox.ts';

/** In the run folder: the id of the run on each server, so that a run that goes on is the same there. */
const RECORD = 'mlflow.json';
const EXPERIMENT = 'moco';

/** Of a request: what the API takes. */
const MOST_ITEMS = 1000;
/** Of what waits for a server: an hour of steps, or a day of every tenth. */
const CAPACITY = 20_000;
/** Characters of a key, a parameter and a tag, as servers since 1.28 take them. */
const LONGEST = { key: 250, param: 500, tag: 5000 };

export interface Patience {
  /** Milliseconds between two requests. */
  readonly pause: number;
  /** Milliseconds that the end of a run waits for what is left. */
  readonly last: number;
}

type Item =
  | { readonly metric: Metric }
  | { readonly tag: Pair }
  | { readonly end: Status; readonly time: number };

const statuses: Readonly<Record<RunOutcome, Status>> = {
  done: 'FINISHED',
  stopped: 'KILLED',
  failed: 'FAILED',
};

export const mlflowSink = defineLogSink({
  name: 'mlflow',
  check: (target) => void trackingOf(target),
  open: (run, target) => openMlflow(run, trackingOf(target), { pause: 1000, last: 5000 }),
});

/** What can't be sent is told once, and never stops the run. */
export function openMlflow(run: RunFacts, tracking: Tracking, { pause, last }: Patience): LogSink {
  const { address } = tracking;
  const api = createApi(tracking);
  const started = Date.now();
  let id: string | undefined;
  let told = false;
  const tell = ({ message }: Error) => {
    if (!told) run.warn(`mlflow: ${address} ${message}; the run goes on, and log.jsonl has everything`);
    told = true;
  };
  const outbox = createOutbox<Item>({
    ...{ batch: MOST_ITEMS, capacity: CAPACITY, pause },
    onFailure: tell,
    deliver: async (items, signal) => {
      id ??= await beginRun({ api, run, address, started, tell }, signal).catch((error: Error) => {
        // The items are not what was refused.
        throw error instanceof Refused ? new Error(error.message) : error;
      });
      const metrics = items.flatMap((item) => ('metric' in item ? [item.metric] : []));
      const tags = new Map(items.flatMap((item) => ('tag' in item ? [[item.tag.key, item.tag]] : [])));
      const refused = await logged(api, id, metrics, [...tags.values()], signal);
      // A run ends there whatever was refused of it.
      for (const item of items) if ('end' in item) await api.update(id, item.end, item.time, signal);
      if (refused) throw refused;
    },
  });
  outbox.push({ tag: pair('moco.folder', run.folder, 'tag') });
  return {
    write: (entry) => {
      for (const item of itemsOf(entry)) outbox.push(item);
    },
    close: async (outcome) => {
      outbox.push({ end: statuses[outcome], time: Date.now() });
      const lost = await outbox.close(last);
      if (lost > 0) run.warn(`mlflow: ${lost} values did not reach ${address}; log.jsonl has all of them`);
    },
  };
}

/** Undefined for what is taken. @throws any other error */
const refusalOf = (sent: Promise<unknown>): Promise<Refused | undefined> =>
  sent.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof Refused) return error;
      throw error;
    },
  );

/** Logs values together, and, where these are refused, those of each name alone: one that is refused takes no others along. */
async function logged(
  api: Api,
  id: string,
  metrics: readonly Metric[],
  tags: readonly Pair[],
  signal: AbortSignal,
): Promise<Refused | undefined> {
  if (metrics.length + tags.length === 0) return undefined;
  const refused = await refusalOf(api.log(id, metrics, tags, signal));
  const keys = new Set(metrics.map(({ key }) => key));
  const parts: (readonly [readonly Metric[], readonly Pair[]])[] = [
    ...Array.from(keys, (key) => [metrics.filter((metric) => metric.key === key), []] as const),
    ...(tags.length > 0 ? [[[], tags] as const] : []),
  ];
  if (!refused || parts.length === 1) return refused;
  refused.lost = 0;
  for (const [some, others] of parts) {
    const isRefused = await refusalOf(api.log(id, some, others, signal));
    if (isRefused) refused.lost += some.length + others.length;
  }
  return refused;
}

type Api = ReturnType<typeof createApi>;

interface Begun {
  readonly api: Api;
  readonly run: RunFacts;
  readonly address: string;
  readonly started: number;
  /** What is refused of settings is lost, and the run begins all the same. */
  readonly tell: (refused: Error) => void;
}

/** A new run, or, in a folder that has one there, the same again. @returns its id */
async function beginRun({ api, run, address, started, tell }: Begun, signal: AbortSignal): Promise<string> {
  const settle = async (sent: Promise<unknown>) => {
    const refused = await refusalOf(sent);
    if (refused) tell(refused);
  };
  const record = join(run.folder, RECORD);
  const ids = await jsonIfThere(record);
  const params = flattened(run.settings).map(([key, value]) => pair(key, value, 'param'));
  const before = ids[address];
  const known = typeof before !== 'string' ? undefined : await api.paramsOf(before, signal);
  if (typeof before === 'string' && known) {
    const values = new Map(known.map(({ key, value }) => [key, value]));
    await api.update(before, 'RUNNING', undefined, signal);
    const fresh = params.filter(({ key }) => !values.has(key));
    await settle(api.logParams(before, fresh, signal));
    // A parameter is once for all there: what the user has changed since is told beside it.
    const changed = params.filter(({ key, value }) => values.has(key) && values.get(key) !== value);
    const tags = changed.map(({ key, value }) => pair(`moco.changed.${key}`, value, 'tag'));
    if (tags.length > 0) await settle(api.log(before, [], tags, signal));
    return before;
  }
  const tags = flattened(run.about).map(([key, value]) => pair(`moco.${key}`, value, 'tag'));
  const experiment = process.env.MLFLOW_EXPERIMENT_NAME || EXPERIMENT;
  const run_name = basename(resolve(run.folder));
  const made = await api.createRun(experiment, { run_name, start_time: started, tags }, signal);
  // Without it a run that goes on is another there; the run itself would end by a disk that is full.
  await writeAtomic(record, `${JSON.stringify({ ...ids, [address]: made })}\n`).catch(() => undefined);
  await settle(api.logParams(made, params, signal));
  return made;
}

function itemsOf({ event, fields, scalars, at }: LogEntry): Item[] {
  const { message, file } = fields;
  const text = event === 'checkpoint' ? file : message;
  const items: Item[] = typeof text === 'string' ? [{ tag: pair(`moco.${event}`, text, 'tag') }] : [];
  const timestamp = at.getTime();
  for (const [name, value] of Object.entries(scalars?.values ?? {}))
    items.push({
      metric: {
        ...{ key: keyOf(name), timestamp, step: scalars!.step },
        value: Number.isFinite(value) ? value : String(value),
      },
    });
  return items;
}

/** Values by paths such as `backend.name`; lists are JSON. */
function flattened(value: unknown, path = ''): [string, string][] {
  if (value === undefined || value === null) return [];
  if (typeof value === 'object' && !Array.isArray(value))
    return Object.entries(value).flatMap(([key, inner]) =>
      flattened(inner, path === '' ? key : `${path}.${key}`),
    );
  return [[path, typeof value === 'string' ? value : JSON.stringify(value)]];
}

const keyOf = (name: string) => name.replace(/[^\w\-. /]/g, '_').slice(0, LONGEST.key);

const pair = (key: string, value: string, kind: 'param' | 'tag'): Pair => ({
  key: keyOf(key),
  value: value.slice(0, LONGEST[kind]),
});
