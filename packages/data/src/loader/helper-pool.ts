/** A pool of threads or processes that make batches, started again where one dies. */
import type { ImageDataset } from '../dataset.ts';
import { helperError } from '../machine.ts';
import { cacheOf } from './cache.ts';
import { type Helper, startProcess, startThread } from './helper.ts';
import type { Job, JobResult } from './job.ts';
import { errorOf, type FromWorker, imagesOf, type ToWorker } from './messages.ts';
import { gather, type Sent } from './sent.ts';

interface Task {
  readonly id: number;
  readonly dataset: number;
  readonly job: Job;
  readonly sent?: Sent;
  /** Its helper died: now the helper announces each image before it decodes it. */
  careful: boolean;
  readonly resolve: (result: JobResult) => void;
  readonly reject: (error: Error) => void;
}

interface Thread {
  helper: Helper;
  /** Deaths since the last batch that it made, except those caused by an image. */
  deaths: number;
  /** The image that it announced last, for a careful task. */
  decoding: number | undefined;
  readonly tasks: Map<number, Task>;
}

/** Batches queued in each thread, which gets no messages while the main thread computes. */
const AT_HAND = 2;
const MOST_DEATHS = 2;

export class HelperPool {
  readonly workers: number;
  private readonly isolate: boolean;
  private readonly attached: Extract<ToWorker, { kind: 'attach' }>[] = [];
  private readonly numbers = new WeakMap<ImageDataset, Promise<number>>();
  private readonly names: ((index: number) => string)[] = [];
  /** By data set: images that crash the thread or process that decodes them. */
  private readonly lethal: Map<number, string>[] = [];
  private readonly waiting: Task[] = [];
  private readonly threads: Thread[];
  private nextId = 0;
  private closed = false;

  /** @param isolate processes in place of threads */
  constructor(count: number, isolate: boolean) {
    this.workers = count;
    this.isolate = isolate;
    this.threads = Array.from({ length: count }, () => this.start(0));
  }

  async run(dataset: ImageDataset, job: Job): Promise<JobResult> {
    let number = this.numbers.get(dataset);
    if (number === undefined) {
      number = this.attach(dataset);
      this.numbers.set(dataset, number);
    }
    const resolved = await number;
    const sent =
      dataset.share?.().kind === 'here'
        ? await gather(dataset, job, this.isolate ? undefined : await cacheOf(dataset))
        : undefined;
    if (this.closed) throw new Error('the pool is closed');
    return new Promise((resolve, reject) => {
      const task = { id: this.nextId++, dataset: resolved, job, careful: false, resolve, reject };
      this.waiting.push(sent ? Object.assign(task, { sent }) : task);
      this.dispatch();
    });
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const lost = [...this.waiting, ...this.threads.flatMap((thread) => [...thread.tasks.values()])];
    this.waiting.length = 0;
    // An idle thread keeps no process alive, so nothing else would wait for its end.
    for (const { helper } of this.threads) helper.hold(true);
    await Promise.all(this.threads.map(({ helper }) => helper.end()));
    for (const task of lost) task.reject(new Error('the pool was closed'));
  }

  private start(deaths: number): Thread {
    const listener = {
      message: (message: FromWorker) => this.settle(thread, message),
      exit: (reason: string, cause?: Error) => {
        if (!this.closed) this.replace(thread, reason, cause);
      },
    };
    const helper = this.isolate ? startProcess(listener) : startThread(listener);
    const thread: Thread = { helper, deaths, decoding: undefined, tasks: new Map() };
    for (const message of this.attached) helper.post(message);
    // Between epochs the pool alone keeps no process alive.
    helper.hold(false);
    return thread;
  }

  private settle(thread: Thread, message: FromWorker): void {
    if ('decoding' in message) {
      thread.decoding = message.decoding;
      return;
    }
    thread.deaths = 0;
    thread.decoding = undefined;
    const task = thread.tasks.get(message.id);
    thread.tasks.delete(message.id);
    if (thread.tasks.size === 0 && !this.closed) thread.helper.hold(false);
    this.dispatch();
    if (task === undefined) return;
    if ('result' in message) task.resolve(message.result);
    else task.reject(errorOf(message.error));
  }

  /**
   * A helper that died is started again with what it had at hand, the first of it with care: an image on which it then dies
   * again is left out like a damaged one, so that the order of all others stays. One that keeps dying without decoding fails
   * its batches.
   */
  private replace(thread: Thread, reason: string, cause?: Error): void {
    const tasks = [...thread.tasks.values()];
    thread.tasks.clear();
    const [first] = tasks;
    let { deaths } = thread;
    if (first?.careful && thread.decoding !== undefined) {
      const name = this.names[first.dataset]!(thread.decoding);
      const kind = this.isolate ? 'process' : 'thread';
      this.lethal[first.dataset]!.set(
        thread.decoding,
        `${name}: decoding it ended a ${kind} twice (${reason})`,
      );
    } else deaths++;
    if (first) first.careful = true;
    if (deaths > MOST_DEATHS) {
      const error = helperError(`a worker died ${deaths} times: ${reason}`, cause);
      for (const task of tasks) task.reject(error);
    } else this.waiting.unshift(...tasks);
    this.threads[this.threads.indexOf(thread)] = this.start(deaths);
    this.dispatch();
  }

  private dispatch(): void {
    while (this.waiting.length > 0) {
      const thread = this.threads.reduce((least, other) =>
        other.tasks.size < least.tasks.size ? other : least,
      );
      if (thread.tasks.size >= AT_HAND) return;
      const task = this.waiting.shift()!;
      thread.tasks.set(task.id, task);
      thread.helper.hold(true);
      const { id, dataset, job, sent, careful } = task;
      const known = this.lethal[dataset]!;
      thread.helper.post({
        ...{ kind: 'job', id, dataset, job },
        ...(sent && { sent }),
        ...(careful && { careful }),
        ...(known.size > 0 && { lethal: known }),
      });
    }
  }

  private async attach(dataset: ImageDataset): Promise<number> {
    // Memory is shared by threads alone.
    const cache = this.isolate ? undefined : await cacheOf(dataset);
    const number = this.attached.length;
    const shared = imagesOf(dataset);
    const images =
      this.isolate && shared.kind === 'raw' ? ({ kind: 'reopen', spec: dataset.source } as const) : shared;
    const message = { kind: 'attach', dataset: number, images, ...(cache && { cache }) } as const;
    this.attached.push(message);
    this.names.push((index) => dataset.id(index));
    this.lethal.push(new Map());
    for (const { helper } of this.threads) helper.post(message);
    return number;
  }
}
