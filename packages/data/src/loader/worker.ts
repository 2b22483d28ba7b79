/** The thread or process of the pool: makes batches, one after the other, and hands their buffers over. */
import { constants, setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { DataError } from '@moco-ts/core';
import { type ImageReader, runJob } from './job.ts';
import { type FromWorker, readerOf, sentError, type ToWorker } from './messages.ts';
import { decoderOfSent } from './sent.ts';

// The trainer splits each op evenly over the cores and waits for the slower half, so a view made beside it costs the
// step twice its time. Below normal priority views are made in the gaps instead. Nothing lower: beside other programs the
// lowest makes next to none, and the trainer waits. On Linux this is this thread's priority alone.
if (process.platform === 'linux') setPriority(0, constants.priority.PRIORITY_BELOW_NORMAL);

/** Resolves when it is on its way, whatever happens here then. */
function post(message: FromWorker, buffers: readonly ArrayBuffer[] = []): Promise<void> {
  if (parentPort) {
    parentPort.postMessage(message, buffers);
    return Promise.resolve();
  }
  return new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));
}

if (!parentPort) {
  // An interrupt at the terminal reaches every process; it is the parent that decides.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('disconnect', () => process.exit());
}

const readers = new Map<number, Promise<ImageReader>>();
let queue: Promise<void> = Promise.resolve();

function receive(message: ToWorker): void {
  if (message.kind === 'attach') {
    const reader = readerOf(message.images, message.cache);
    // A failure to open is reported by the first job that needs the set.
    reader.catch(() => undefined);
    readers.set(message.dataset, reader);
    return;
  }
  // In turn, since views share scratch memory and the first batch asked for is needed first.
  queue = queue.then(() => answer(message));
}

if (parentPort) parentPort.on('message', receive);
else process.on('message', receive);

type JobMessage = Extract<ToWorker, { kind: 'job' }>;

async function answer(message: JobMessage): Promise<void> {
  const { id, dataset, job, sent } = message;
  try {
    const opened = await readers.get(dataset)!;
    const reader = sent === undefined ? opened : { ...opened, decode: decoderOfSent(sent) };
    const result = await runJob(wary(reader, message), job);
    const buffers = [result.indices, ...result.views].map((array) => array.buffer as ArrayBuffer);
    void post({ id, result }, buffers);
  } catch (error) {
    void post({ id, error: sentError(error) });
  }
}

/** A reader that leaves out what would end this thread, and when careful tells what it is about to decode. */
function wary(reader: ImageReader, { lethal, careful }: JobMessage): ImageReader {
  if (!lethal && !careful) return reader;
  const checked = async (index: number) => {
    const reason = lethal?.get(index);
    if (reason !== undefined) throw new DataError(reason);
    if (careful) await post({ decoding: index });
  };
  const { shrink } = reader;
  return {
    ...reader,
    decode: async (index) => {
      await checked(index);
      return reader.decode(index);
    },
    ...(shrink && {
      shrink: async (index, size) => {
        await checked(index);
        return shrink(index, size);
      },
    }),
    ...(careful && { ahead: 1 }),
  };
}
