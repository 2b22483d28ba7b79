/** The thread of the pool: makes batches, one after the other, and hands their buffers over. */
import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { UserError } from '@moco-ts/core';
import { type PictureReader, runJob } from './job.ts';
import { type FromWorker, readerOf, type ToWorker } from './messages.ts';
import { decoderOfSent } from './sent.ts';

// The trainer splits each op evenly over the cores and waits for the slower half, so a view made beside it costs the
// step twice its time. At low priority views are made in the gaps instead. On Linux this is this thread's priority alone.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_LOW);

const port = parentPort!;
const readers = new Map<number, Promise<PictureReader>>();
let queue: Promise<void> = Promise.resolve();

port.on('message', (message: ToWorker) => {
  if (message.kind === 'attach') {
    const reader = readerOf(message.pictures, message.cache);
    // A failure to open is reported by the first job that needs the set.
    reader.catch(() => undefined);
    readers.set(message.dataset, reader);
    return;
  }
  // In turn, since views share scratch memory and the first batch asked for is needed first.
  queue = queue.then(() => answer(message));
});

async function answer({ id, dataset, job, sent }: Extract<ToWorker, { kind: 'job' }>): Promise<void> {
  try {
    const opened = await readers.get(dataset)!;
    const reader = sent === undefined ? opened : { ...opened, decode: decoderOfSent(sent) };
    const result = await runJob(reader, job);
    const buffers = [result.indices, ...result.views].map((array) => array.buffer as ArrayBuffer);
    port.postMessage({ id, result } satisfies FromWorker, buffers);
  } catch (error) {
    const user = error instanceof UserError;
    const text =
      error instanceof Error ? (user ? error.message : (error.stack ?? error.message)) : String(error);
    port.postMessage({ id, error: text, user } satisfies FromWorker);
  }
}
