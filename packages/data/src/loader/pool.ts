import { DataError, UserError } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import { type CacheBuffers, makeCache, openCache } from './cache.ts';
import { type Helper, startProcess, startThread } from './helper.ts';
import { type Job, type JobResult, type PictureReader, runJob } from './job.ts';
import { type FromWorker, picturesOf, type ToWorker } from './messages.ts';
import { gather, type Sent } from './sent.ts';

/** Makes batches of any number of data sets, in `workers` threads or, with 0, in this one. */
export interface Pool {
  readonly workers: number;
  run(dataset: ImageDataset, job: Job): Promise<JobResult>;
  /** Ends the threads; batches under way are rejected. */
  close(): Promise<void>;
}

export interface PoolOptions {
  /**
   * Processes in place of threads: a picture on which the decoder crashes ends one of them and is left out, where it would end
   * everything. Batches come over a pipe, and pictures are not kept decoded. Default false.
   */
  readonly isolate?: boolean;
}

/** @param workers number of threads; 0: no thread, batches are made while the caller waits */
export function createPool(workers: number, { isolate = false }: PoolOptions = {}): Pool {
  if (!Number.isInteger(workers) || workers < 0) {
    throw new DataError(`${workers} workers: give a whole number, 0 for none`);
  }
  return workers === 0 ? inProcess() : helpers(workers, isolate);
}

/** One cache per data set, whoever reads it. */
const caches = new WeakMap<ImageDataset, Promise<CacheBuffers | undefined>>();

function cacheOf(dataset: ImageDataset): Promise<CacheBuffers | undefined> {
  let cache = caches.get(dataset);
  if (cache === undefined) {
    cache = makeCache(dataset);
    caches.set(dataset, cache);
  }
  return cache;
}

const errors = { data: DataError, user: UserError, defect: Error } as const;

function inProcess(): Pool {
  const readers = new WeakMap<ImageDataset, Promise<PictureReader>>();
  let queue: Promise<unknown> = Promise.resolve();
  return {
    workers: 0,
    run(dataset, job) {
      let reader = readers.get(dataset);
      if (reader === undefined) {
        reader = cacheOf(dataset).then((cache) => ({
          decode: (index: number) => dataset.decode(index),
          ...(cache && { cache: openCache(cache) }),
        }));
        readers.set(dataset, reader);
      }
      const made = queue.then(async () => runJob(await reader, job));
      queue = made.catch(() => undefined);
      return made;
    },
    async close() {},
  };
}

interface Task {
  readonly id: number;
  readonly dataset: number;
  readonly job: Job;
  readonly sent?: Sent;
  /** Its helper died: pictures are told before they are decoded. */
  careful: boolean;
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  helper: Helper;
  /** Deaths since the last batch that it made, but for those by a picture. */
  deaths: number;
  /** The picture that it told last, of a task that is careful. */
  decoding: number | undefined;
  readonly tasks: Map<number, Task>;
}

/** Batches that a thread has at hand: while this thread computes, no message reaches it. */
const AT_HAND = 2;
const MOST_DEATHS = 2;

function helpers(count: number, isolate: boolean): Pool {
  const attached: Extract<ToWorker, { kind: 'attach' }>[] = [];
  const numbers = new WeakMap<ImageDataset, Promise<number>>();
  const names: ((index: number) => string)[] = [];
  /** By data set: pictures that end whoever decodes them. */
  const lethal: Map<number, string>[] = [];
  const waiting: Task[] = [];
  let nextId = 0;
  let closed = false;
  const pool = Array.from({ length: count }, () => start(0));

  function start(deaths: number): Thread {
    const listener = {
      message: (message: FromWorker) => settle(thread, message),
      exit: (reason: string) => {
        if (!closed) replace(thread, reason);
      },
    };
    const helper = isolate ? startProcess(listener) : startThread(listener);
    const thread: Thread = { helper, deaths, decoding: undefined, tasks: new Map() };
    for (const message of attached) helper.post(message);
    // Between epochs the pool alone keeps no process alive.
    helper.hold(false);
    return thread;
  }

  function settle(thread: Thread, message: FromWorker): void {
    if ('decoding' in message) {
      thread.decoding = message.decoding;
      return;
    }
    thread.deaths = 0;
    thread.decoding = undefined;
    const task = thread.tasks.get(message.id);
    thread.tasks.delete(message.id);
    if (thread.tasks.size === 0 && !closed) thread.helper.hold(false);
    dispatch();
    if (task === undefined) return;
    if ('result' in message) task.resolve(message.result);
    else task.reject(new errors[message.kind](message.error));
  }

  /**
   * A helper that died is started again with what it had at hand, the first of it with care: a picture on which it then dies
   * again is left out like a damaged one, so that the order of all others stays. One that keeps dying without decoding fails
   * its batches.
   */
  function replace(thread: Thread, reason: string): void {
    const tasks = [...thread.tasks.values()];
    thread.tasks.clear();
    const [first] = tasks;
    let { deaths } = thread;
    if (first?.careful && thread.decoding !== undefined) {
      const name = names[first.dataset]!(thread.decoding);
      lethal[first.dataset]!.set(
        thread.decoding,
        `${name}: decoding it ended a ${isolate ? 'process' : 'thread'} twice (${reason})`,
      );
    } else deaths++;
    if (first) first.careful = true;
    if (deaths > MOST_DEATHS) {
      for (const task of tasks) task.reject(new Error(`a worker died ${deaths} times: ${reason}`));
    } else waiting.unshift(...tasks);
    pool[pool.indexOf(thread)] = start(deaths);
    dispatch();
  }

  function dispatch(): void {
    while (waiting.length > 0) {
      const thread = pool.reduce((least, other) => (other.tasks.size < least.tasks.size ? other : least));
      if (thread.tasks.size >= AT_HAND) return;
      const task = waiting.shift()!;
      thread.tasks.set(task.id, task);
      thread.helper.hold(true);
      const { id, dataset, job, sent, careful } = task;
      const known = lethal[dataset]!;
      thread.helper.post({
        ...{ kind: 'job', id, dataset, job },
        ...(sent && { sent }),
        ...(careful && { careful }),
        ...(known.size > 0 && { lethal: known }),
      });
    }
  }

  async function attach(dataset: ImageDataset): Promise<number> {
    // Memory is shared by threads alone.
    const cache = isolate ? undefined : await cacheOf(dataset);
    const number = attached.length;
    const shared = picturesOf(dataset);
    const pictures =
      isolate && shared.kind === 'raw' ? ({ kind: 'reopen', spec: dataset.source } as const) : shared;
    const message = { kind: 'attach', dataset: number, pictures, ...(cache && { cache }) } as const;
    attached.push(message);
    names.push((index) => dataset.id(index));
    lethal.push(new Map());
    for (const { helper } of pool) helper.post(message);
    return number;
  }

  return {
    workers: count,
    async run(dataset, job) {
      let number = numbers.get(dataset);
      if (number === undefined) {
        number = attach(dataset);
        numbers.set(dataset, number);
      }
      const resolved = await number;
      const sent =
        dataset.share?.().kind === 'here'
          ? await gather(dataset, job, isolate ? undefined : await cacheOf(dataset))
          : undefined;
      if (closed) throw new Error('the pool is closed');
      return new Promise((resolve, reject) => {
        const task = { id: nextId++, dataset: resolved, job, careful: false, resolve, reject };
        waiting.push(sent ? Object.assign(task, { sent }) : task);
        dispatch();
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      const lost = [...waiting, ...pool.flatMap((thread) => [...thread.tasks.values()])];
      waiting.length = 0;
      // An idle thread keeps no process alive, so nothing else would wait for its end.
      for (const { helper } of pool) helper.hold(true);
      await Promise.all(pool.map(({ helper }) => helper.end()));
      for (const task of lost) task.reject(new Error('the pool was closed'));
    },
  };
}
