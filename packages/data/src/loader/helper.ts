/** Who makes batches beside this thread: a thread of this process, or a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { FromWorker, ToWorker } from './messages.ts';

export interface Helper {
  post(message: ToWorker): void;
  /** Whether it keeps this process alive. */
  hold(held: boolean): void;
  end(): Promise<unknown>;
}

export interface Listener {
  message(message: FromWorker): void;
  /**
   * It is gone, of itself or ended.
   * @param cause the error that ended it, where there was one
   */
  exit(reason: string, cause?: Error): void;
}

const entry = new URL(
  import.meta.url.endsWith('.ts') ? './worker.source.mjs' : './worker.js',
  import.meta.url,
);

export function startThread({ message, exit }: Listener): Helper {
  // Options of this process, such as a test runner's loaders, are none of the thread's.
  const worker = new Worker(entry, { execArgv: [] });
  let cause: Error | undefined;
  worker.on('error', (error) => {
    cause = error;
  });
  worker.on('exit', () => exit(cause?.message ?? 'it ended by itself', cause));
  worker.on('message', message);
  return {
    post: (sent) => worker.postMessage(sent),
    hold: (held) => (held ? worker.ref() : worker.unref()),
    end: () => worker.terminate(),
  };
}

/** What crashes it leaves this process alone; batches come over a pipe. */
export function startProcess({ message, exit }: Listener): Helper {
  const child: ChildProcess = fork(fileURLToPath(entry), {
    execArgv: [],
    serialization: 'advanced',
  });
  const ended = new Promise<void>((resolve) => {
    child.on('exit', (code, signal) => {
      resolve();
      exit(signal ? `it was ended by ${signal}` : `it ended with code ${code}`);
    });
    child.on('error', (error) => {
      // Of one that runs, its exit tells; a message on its way then is lost with it.
      if (child.pid !== undefined) return;
      resolve();
      exit(error.message, error);
    });
  });
  child.on('message', (received) => message(received as FromWorker));
  return {
    post: (sent) => {
      if (child.connected) child.send(sent, () => undefined);
    },
    hold: (held) => {
      const channel = child.channel;
      if (held) {
        child.ref();
        channel?.ref();
      } else {
        child.unref();
        channel?.unref();
      }
    },
    end: () => {
      child.kill('SIGKILL');
      return ended;
    },
  };
}
