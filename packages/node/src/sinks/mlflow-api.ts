/** The few calls of MLflow's REST API (2.0) that a run needs. */
import { printable, SettingError, say, settingRef } from '@moco-ts/core';
import { Refused } from './outbox.ts';

/** Where a server is, and who asks. */
export interface Tracking {
  /** Without a slash at its end, and without credentials. */
  readonly address: string;
  readonly authorization?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * @param target what the user named; default `MLFLOW_TRACKING_URI`
 * @throws SettingError for no address, one that is not of HTTP, and one with credentials: those come from the environment alone
 */
export function trackingOf(target: string | undefined, env: Environment = process.env): Tracking {
  const given = target ?? env.MLFLOW_TRACKING_URI;
  const example = settingRef('log', 'mlflow:http://HOST:PORT');
  if (!given)
    throw new SettingError(say`mlflow needs the address of its server: ${example}, or MLFLOW_TRACKING_URI`);
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new SettingError(
      say`mlflow is reached over HTTP, by an address such as ${example}; ${target === undefined ? 'MLFLOW_TRACKING_URI' : 'this'} is another`,
    );
  const named = url.username !== '' || url.password !== '';
  if (named && target !== undefined)
    throw new SettingError(
      say`the address of ${settingRef('log', 'mlflow')} holds a password, which others could read: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD`,
    );
  const [user, password] = named
    ? [url.username, url.password].map(unescaped)
    : [env.MLFLOW_TRACKING_USERNAME, env.MLFLOW_TRACKING_PASSWORD];
  const token = env.MLFLOW_TRACKING_TOKEN;
  const authorization = user
    ? `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}`
    : token && `Bearer ${token}`;
  const address = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
  return authorization ? { address, authorization } : { address };
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new SettingError('a % in the name or password of MLFLOW_TRACKING_URI is written %25');
  }
}

/** A number by its name and step, as the API takes it. */
export interface Metric {
  readonly key: string;
  /** JSON has no infinities: `Infinity`, `-Infinity` or `NaN`. */
  readonly value: number | string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly step: number;
}

export interface Pair {
  readonly key: string;
  readonly value: string;
}

export type Status = 'RUNNING' | 'FINISHED' | 'FAILED' | 'KILLED';

/** What is used of a run. */
interface RunAnswer {
  readonly run: {
    readonly info: { readonly run_id: string; readonly lifecycle_stage?: string };
    readonly data?: { readonly params?: readonly Pair[] };
  };
}

/** Items of one kind in a request, as the API limits them. */
const MOST_PAIRS = 100;
/** Milliseconds until a request counts as failed. */
const TIMEOUT = 10_000;

/** An error of the server's, by its own code. */
class Answer extends Refused {
  readonly code: string;
  constructor(code: string, text: string) {
    super(text);
    this.code = code;
  }
}

/** @throws (each call) Refused for what the server does not take; any other error where it does not answer */
export function createApi({ address, authorization }: Tracking) {
  const call = async (path: string, body: object | undefined, signal: AbortSignal): Promise<unknown> => {
    const response = await fetch(`${address}/api/2.0/mlflow/${path}`, {
      method: body ? 'POST' : 'GET',
      headers: {
        ...(body && { 'content-type': 'application/json' }),
        ...(authorization && { authorization }),
      },
      ...(body && { body: JSON.stringify(body) }),
      // To another address nothing of the run goes, nor the credentials.
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT)]),
    }).catch((error: unknown) => {
      throw new Error(`does not answer (${reasonOf(error)})`);
    });
    const text = await response.text();
    if (response.ok) return parsed(text) ?? {};
    const { status } = response;
    const { error_code: code = '', message = '' } = (parsed(text) ?? {}) as Record<
      string,
      string | undefined
    >;
    const why = [`answers ${status}`, code, printable(message, 200)].filter((part) => part !== '').join(', ');
    // Overloaded, or another server in front of it is.
    if (status >= 500 || status === 429 || status === 408) throw new Error(why);
    throw new Answer(code, why);
  };
  /** Undefined where the server answers with this code. */
  const unless = async <T>(code: string, asked: Promise<T>): Promise<T | undefined> =>
    asked.catch((error: unknown) => {
      if (error instanceof Answer && error.code === code) return undefined;
      throw error;
    });
  const ifThere = <T>(asked: Promise<T>) => unless('RESOURCE_DOES_NOT_EXIST', asked);
  const experimentNamed = async (name: string, signal: AbortSignal): Promise<string> => {
    const path = `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
    const ask = () => call(path, undefined, signal) as Promise<{ experiment: { experiment_id: string } }>;
    const there = await ifThere(ask());
    if (there) return there.experiment.experiment_id;
    // Another run may make it at the same time.
    const made = await unless('RESOURCE_ALREADY_EXISTS', call('experiments/create', { name }, signal));
    return made ? (made as { experiment_id: string }).experiment_id : (await ask()).experiment.experiment_id;
  };
  return {
    /** A new run of an experiment, which is made where there is none of the name. @returns the run's id */
    createRun: async (
      experiment: string,
      run: { readonly run_name: string; readonly start_time: number; readonly tags: readonly Pair[] },
      signal: AbortSignal,
    ): Promise<string> => {
      const experiment_id = await experimentNamed(experiment, signal);
      const tags = run.tags.slice(0, MOST_PAIRS);
      const made = (await call('runs/create', { experiment_id, ...run, tags }, signal)) as RunAnswer;
      return made.run.info.run_id;
    },
    /** The parameters of a run; undefined where it is gone. */
    paramsOf: async (id: string, signal: AbortSignal): Promise<readonly Pair[] | undefined> => {
      const asked = call(`runs/get?run_id=${encodeURIComponent(id)}`, undefined, signal);
      const there = (await ifThere(asked)) as RunAnswer | undefined;
      if (!there || there.run.info.lifecycle_stage === 'deleted') return undefined;
      return there.run.data?.params ?? [];
    },
    logParams: async (id: string, params: readonly Pair[], signal: AbortSignal): Promise<void> => {
      for (let at = 0; at < params.length; at += MOST_PAIRS)
        await call('runs/log-batch', { run_id: id, params: params.slice(at, at + MOST_PAIRS) }, signal);
    },
    /** @param metrics with the tags 1000 at most; of the tags the first 100 are taken */
    log: (id: string, metrics: readonly Metric[], tags: readonly Pair[], signal: AbortSignal) =>
      call('runs/log-batch', { run_id: id, metrics, tags: tags.slice(0, MOST_PAIRS) }, signal),
    update: (id: string, status: Status, end_time: number | undefined, signal: AbortSignal) =>
      call('runs/update', { run_id: id, status, ...(end_time !== undefined && { end_time }) }, signal),
  };
}

/** A JSON object; undefined for any other text. */
function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error & { readonly cause?: { code?: string; message?: string } };
  if (name === 'TimeoutError') return `within ${TIMEOUT / 1000} s`;
  return cause?.code ?? cause?.message ?? message;
}
