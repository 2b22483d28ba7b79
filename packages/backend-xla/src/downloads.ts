import type { Tensor } from '@moco-ts/core';
import type { DeviceBuffer } from './pjrt/client.ts';

/** Copies to the host. Waits follow each other, since each takes a thread of the few that Node has. */
export class Downloads {
  private waiting: Promise<unknown> = Promise.resolve();

  /** Starts the copies of buffers at once. @throws PjrtError when a computation that makes one of them failed */
  async all(buffers: readonly (readonly [string, DeviceBuffer])[]): Promise<Record<string, Tensor>> {
    // All copies begin now, before a later run takes the memory.
    const copies = buffers.map(([name, buffer]) => [name, buffer.download()] as const);
    const done = this.settled().then(async () => {
      const tensors = await arrived(copies.map(([, copy]) => copy));
      return Object.fromEntries(copies.map(([name], i) => [name, tensors[i]!]));
    });
    this.waiting = done;
    return done;
  }

  /** Once all that began have ended. */
  settled(): Promise<unknown> {
    return this.waiting.catch(() => {});
  }
}

/** Waits for copies in turn, and for all of them where one fails. @throws PjrtError of the first that did */
export async function arrived(copies: readonly (() => Promise<Tensor>)[]): Promise<Tensor[]> {
  const tensors: Tensor[] = [];
  let failure: unknown;
  for (const copy of copies) {
    try {
      tensors.push(await copy());
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return tensors;
}
