import { Worker } from 'node:worker_threads';
import { DataError } from '@moco-ts/core';
import type { ImageDataset } from '../dataset.ts';
import { type CacheBuffers, makeCache, openCache } from './cache.ts';
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

/** @param workers number of threads; 0: no thread, batches are made while the caller waits */
export function createPool(workers: number): Pool {
  if (!Number.isInteger(workers) || workers < 0) {
    throw new DataError(`${workers} workers: give a whole number, 0 for none`);
  }
  return workers === 0 ? inProcess() : threads(workers);
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
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  worker: Worker;
  /** Deaths since the last batch that it made. */
  deaths: number;
  readonly tasks: Map<number, Task>;
}

/** Batches that a thread has at hand: while this thread computes, no message reaches it. */
const AT_HAND = 2;
const MOST_DEATHS = 2;

function threads(count: number): Pool {
  const attached: Extract<ToWorker, { kind: 'attach' }>[] = [];
  const numbers = new WeakMap<ImageDataset, Promise<number>>();
  const waiting: Task[] = [];
  let nextId = 0;
  let closed = false;
  const pool = Array.from({ length: count }, () => start({ deaths: 0, tasks: new Map() }));

  function start(state: Omit<Thread, 'worker'>): Thread {
    const thread: Thread = Object.assign(state, { worker: spawn() });
    const { worker } = thread;
    let reason = 'it ended by itself';
    worker.on('error', (error) => {
      reason = error.message;
    });
    worker.on('exit', () => {
      if (!closed) replace(thread, reason);
    });
    worker.on('message', (message: FromWorker) => settle(thread, message));
    for (const message of attached) worker.postMessage(message);
    // Between epochs the pool alone keeps no process alive.
    worker.unref();
    return thread;
  }

  function settle(thread: Thread, message: FromWorker): void {
    thread.deaths = 0;
    const task = thread.tasks.get(message.id);
    thread.tasks.delete(message.id);
    if (thread.tasks.size === 0 && !closed) thread.worker.unref();
    dispatch();
    if (task === undefined) return;
    if ('result' in message) task.resolve(message.result);
    else task.reject(message.user ? new DataError(message.error) : new Error(message.error));
  }

  /** A thread that died is started again with what it had at hand; one that keeps dying fails its batches. */
  function replace(thread: Thread, reason: string): void {
    const tasks = [...thread.tasks.values()];
    thread.tasks.clear();
    const deaths = thread.deaths + 1;
    if (deaths > MOST_DEATHS) {
      for (const task of tasks) task.reject(new Error(`a worker thread died ${deaths} times: ${reason}`));
    } else waiting.unshift(...tasks);
    const fresh = start({ deaths, tasks: new Map() });
    pool[pool.indexOf(thread)] = fresh;
    dispatch();
  }

  function dispatch(): void {
    while (waiting.length > 0) {
      const thread = pool.reduce((least, other) => (other.tasks.size < least.tasks.size ? other : least));
      if (thread.tasks.size >= AT_HAND) return;
      const task = waiting.shift()!;
      thread.tasks.set(task.id, task);
      thread.worker.ref();
      const { id, dataset, job, sent } = task;
      thread.worker.postMessage({ kind: 'job', id, dataset, job, ...(sent && { sent }) } satisfies ToWorker);
    }
  }

  async function attach(dataset: ImageDataset): Promise<number> {
    const cache = await cacheOf(dataset);
    const number = attached.length;
    const pictures = picturesOf(dataset);
    const message = { kind: 'attach', dataset: number, pictures, ...(cache && { cache }) } as const;
    attached.push(message);
    for (const thread of pool) thread.worker.postMessage(message);
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
        dataset.share?.().kind === 'here' ? await gather(dataset, job, await cacheOf(dataset)) : undefined;
      if (closed) throw new Error('the pool is closed');
      return new Promise((resolve, reject) => {
        waiting.push({ id: nextId++, dataset: resolved, job, ...(sent && { sent }), resolve, reject });
        dispatch();
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      const lost = [...waiting, ...pool.flatMap((thread) => [...thread.tasks.values()])];
      waiting.length = 0;
      // An idle thread keeps no process alive, so nothing else would wait for its end.
      for (const { worker } of pool) worker.ref();
      await Promise.all(pool.map(({ worker }) => worker.terminate()));
      for (const task of lost) task.reject(new Error('the pool was closed'));
    },
  };
}

function spawn(): Worker {
  const entry = import.meta.url.endsWith('.ts') ? './worker.source.mjs' : './worker.js';
  // Options of this process, such as a test runner's loaders, are none of the thread's.
  return new Worker(new URL(entry, import.meta.url), { execArgv: [] });
}
