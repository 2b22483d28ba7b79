/** A program's state, on the device of each replica. */
import {
  BackendError,
  bytesOf,
  checkedState,
  type HostType,
  type StateSlot,
  sizeOf,
  slotNamed,
  type Tensors,
} from '@moco-ts/core';
import type { DeviceBuffer, PjrtClient } from './pjrt/client.ts';

interface Slot extends StateSlot {
  readonly type: HostType;
  value: DeviceBuffer | undefined;
}

export class DeviceState {
  readonly bytes: number;
  private readonly client: PjrtClient;
  private readonly replicas: number;
  private readonly slots: Map<string, Slot>;
  private readonly replaced: readonly Slot[];
  /** Why there is none, where a run has lost it. */
  private lost: Error | undefined;

  constructor(client: PjrtClient, slots: readonly (readonly [StateSlot, HostType])[], replicas: number) {
    const own = slots.map(([slot, type]): Slot => ({ ...slot, type, value: undefined }));
    this.client = client;
    this.replicas = replicas;
    this.slots = new Map(own.map((slot) => [slot.input, slot]));
    this.replaced = own.filter(({ output }) => output !== undefined);
    this.bytes = own.reduce((total, { type }) => total + sizeOf(type.shape) * bytesOf(type.dtype), 0);
  }

  load(values: Tensors): void {
    for (const [slot, value] of checkedState(this.slots, values)) {
      const before = slot.value;
      slot.value = this.client.upload(Array(this.replicas).fill(value));
      before?.destroy();
    }
    if ([...this.slots.values()].every(({ value }) => value)) this.lost = undefined;
  }

  /** Values by name, by default all. @throws BackendError for state that is not there */
  values(names: readonly string[] = [...this.slots.keys()]): (readonly [string, DeviceBuffer])[] {
    return names.map((name) => [name, this.loaded(slotNamed(this.slots, name))]);
  }

  /** The value of an input, if that is state. @throws BackendError where it is not there */
  valueOf(input: string): DeviceBuffer | undefined {
    const slot = this.slots.get(input);
    return slot && this.loaded(slot);
  }

  /**
   * Replaces what a run has made anew.
   * @param made the run's outputs by name
   * @returns those that replace no state
   */
  replace(made: readonly (readonly [string, DeviceBuffer])[]): (readonly [string, DeviceBuffer])[] {
    const next = new Map(made);
    for (const slot of this.replaced) {
      // The old buffer's memory is the new one's by now, where it was donated: then what is freed is its handle.
      slot.value!.destroy();
      slot.value = next.get(slot.output!)!;
      next.delete(slot.output!);
    }
    return [...next];
  }

  /** A failed run leaves nothing in what it was given to write over. */
  lose(error: Error): void {
    this.lost = error;
    for (const slot of this.replaced) {
      slot.value?.destroy();
      slot.value = undefined;
    }
  }

  destroy(): void {
    for (const slot of this.slots.values()) slot.value?.destroy();
    this.slots.clear();
  }

  private loaded({ input, value }: Slot): DeviceBuffer {
    if (value) return value;
    if (this.lost)
      throw new BackendError(`the state "${input}" was lost by a run that failed: ${this.lost.message}`);
    throw new BackendError(`the state "${input}" was never loaded`);
  }
}
