/** Feeds damaged files to readers: each must give a UserError of one line, or a right answer, soon. */
import { type Params, rng, sizeOf, UserError } from '@moco-ts/core';
import { mutate } from './mutate.ts';
import type { FuzzTarget } from './targets.ts';

export interface FuzzCase {
  readonly target: string;
  readonly index: number;
  readonly bytes: Uint8Array;
  /** What was read; undefined: refused. */
  readonly tensors: Params | undefined;
  /** Of the processor's time, all threads. */
  readonly milliseconds: number;
  /** What a reader must not do. */
  readonly fault?: string;
}

/** No case may take more of the processor, in milliseconds: a hundred times what the whole files take. */
export const timeLimit = 3000;

/** Case `index` of a target: the same each time. */
export async function fuzzCase(target: FuzzTarget, seed: number, index: number): Promise<FuzzCase> {
  const random = rng(seed, `fuzz/${target.name}`, index);
  const original = target.corpus[random.integer(target.corpus.length)]!;
  const bytes = await (target.mutate ?? mutate)(original.bytes, random);
  // Of the processor: a busy machine makes no reader slow.
  const started = process.cpuUsage();
  const { tensors, fault } = await outcome(target, bytes);
  const { user, system } = process.cpuUsage(started);
  const milliseconds = (user + system) / 1000;
  const wrong =
    fault ??
    (milliseconds > timeLimit ? `took ${Math.round(milliseconds)} ms` : undefined) ??
    (tensors && inconsistent(tensors)) ??
    (tensors && target.checked ? await changed(target, original.bytes, tensors) : undefined);
  return {
    target: target.name,
    index,
    bytes,
    tensors,
    milliseconds,
    ...(wrong !== undefined && { fault: `${wrong} (of ${original.name})` }),
  };
}

interface Outcome {
  readonly tensors?: Params;
  readonly fault?: string;
}

async function outcome({ read }: FuzzTarget, bytes: Uint8Array): Promise<Outcome> {
  try {
    return { tensors: await read(bytes) };
  } catch (error) {
    if (!(error instanceof UserError))
      return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    const { message } = error;
    // A message goes to a terminal.
    if (message.length > 700 || /[\x00-\x1f\x7f-\x9f]/.test(message))
      return { fault: `message is no short, printable line: ${JSON.stringify(message.slice(0, 1000))}` };
    return {};
  }
}

function inconsistent(tensors: Params): string | undefined {
  for (const [name, { shape, dtype, data }] of Object.entries(tensors)) {
    const kind = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array }[dtype];
    if (kind === undefined || !(data instanceof kind)) return `"${name}" is no ${dtype}`;
    if (data.length !== sizeOf(shape)) return `"${name}" has ${data.length} values for [${shape}]`;
    if (dtype === 'bool' && data.some((value) => value > 1)) return `"${name}" holds booleans above 1`;
  }
  return undefined;
}

/** Of a format with checksums: a tensor that is not what was written. */
async function changed(
  target: FuzzTarget,
  original: Uint8Array,
  tensors: Params,
): Promise<string | undefined> {
  const undamaged = await target.read(original).catch(() => undefined);
  if (undamaged === undefined) return 'was read, though it could not be before it was damaged';
  const bits = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  // Damaged tensors may be missing, but none may be another.
  for (const [name, b] of Object.entries(tensors)) {
    const a = undamaged[name];
    if (!a || a.shape.join() !== b.shape.join() || !bits(a.data).equals(bits(b.data)))
      return `"${name}" is not what was written`;
  }
  return undefined;
}
