/** Core's communicator over MPI's world. */
import type { Communicator, Tensor } from '@moco-ts/core';
import type { Mpi } from './mpi.ts';

type Values = Tensor['data'];

/** Counts are C's `int`. */
const MOST = 2 ** 31 - 1;

export class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  private readonly mpi: Mpi;
  private readonly most: number;
  /** Where values come together that don't lie one behind the other. */
  private flat = new Float32Array();

  /** @param most the values, or bytes, of one call */
  constructor(mpi: Mpi, most = MOST) {
    this.mpi = mpi;
    this.most = most;
    this.rank = mpi.number('Comm_rank', mpi.abi.world);
    this.size = mpi.number('Comm_size', mpi.abi.world);
  }

  async allReduce(values: readonly Float32Array[]): Promise<void> {
    const whole = joined(values);
    if (whole) return this.sum(whole);
    const total = values.reduce((sum, { length }) => sum + length, 0);
    if (this.flat.length < total) this.flat = new Float32Array(total);
    let end = 0;
    const views = values.map(({ length }) => {
      end += length;
      return this.flat.subarray(end - length, end);
    });
    for (const [i, view] of views.entries()) view.set(values[i]!);
    await this.sum(this.flat.subarray(0, total));
    for (const [i, view] of views.entries()) values[i]!.set(view);
  }

  async allGather(values: Values, gathered: Values): Promise<void> {
    // MPI wants the two apart.
    const own = bytesOf(values.buffer === gathered.buffer ? values.slice() : values);
    const all = bytesOf(gathered);
    if (own.length * this.size !== all.length)
      throw new RangeError(`${this.size} times ${own.length} bytes don't fill ${all.length}`);
    if (own.length <= this.most) return this.gather(own, all);
    for (const part of parts(own, this.most)) {
      const each = new Uint8Array(part.values.length * this.size);
      await this.gather(part.values, each);
      for (let rank = 0; rank < this.size; rank++)
        all.set(
          each.subarray(rank * part.values.length, (rank + 1) * part.values.length),
          rank * own.length + part.at,
        );
    }
  }

  /**
   * Rank 0's bytes, on all ranks, of which the others need not know the number.
   * @param bytes what rank 0 sends
   */
  async broadcast(bytes: Uint8Array): Promise<Uint8Array> {
    const { abi } = this.mpi;
    const length = Float64Array.of(this.rank === 0 ? bytes.length : 0);
    await this.mpi.callAsync('Bcast', length, 8, abi.byte, 0, abi.world);
    const all = this.rank === 0 ? bytes : new Uint8Array(length[0]!);
    for (const { values } of parts(all, this.most))
      await this.mpi.callAsync('Bcast', values, values.length, abi.byte, 0, abi.world);
    return all;
  }

  /** Resolves when all ranks have come here. */
  barrier(): Promise<void> {
    return this.mpi.callAsync('Barrier', this.mpi.abi.world);
  }

  private async sum(whole: Float32Array): Promise<void> {
    const { inPlace, float, sum, world } = this.mpi.abi;
    for (const { values } of parts(whole, this.most))
      await this.mpi.callAsync('Allreduce', inPlace, values, values.length, float, sum, world);
  }

  private gather(own: Uint8Array, all: Uint8Array): Promise<void> {
    const { byte, world } = this.mpi.abi;
    return this.mpi.callAsync('Allgather', own, own.length, byte, all, own.length, byte, world);
  }
}

/** Views of at most `most` elements, and where each begins; none of nothing. */
function parts<T extends Float32Array | Uint8Array>(whole: T, most: number): { values: T; at: number }[] {
  return Array.from({ length: Math.ceil(whole.length / most) }, (_, i) => ({
    values: whole.subarray(i * most, (i + 1) * most) as T,
    at: i * most,
  }));
}

/** The array that several make up that lie one behind the other in one buffer; undefined if they don't. */
function joined(values: readonly Float32Array[]): Float32Array | undefined {
  const [first, ...rest] = values;
  if (!first) return new Float32Array();
  let end = first.byteOffset + first.byteLength;
  for (const { buffer, byteOffset, byteLength } of rest) {
    if (buffer !== first.buffer || byteOffset !== end) return undefined;
    end += byteLength;
  }
  return new Float32Array(first.buffer, first.byteOffset, (end - first.byteOffset) / 4);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Values) =>
  new Uint8Array(buffer, byteOffset, byteLength);
