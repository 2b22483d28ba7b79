/** A client of a plugin: its first device, buffers on it, and programs compiled for it. */
import {
  allocate,
  type DeviceMemory,
  type HostDType,
  type HostType,
  sizeOf,
  type Tensor,
} from '@moco-ts/core';
import { bufferType, structs } from './layout.ts';
import { addressOf, CStruct, textBytes, type Word, words, wordsAt } from './memory.ts';
import { type CompileFlags, compileOptions, type Options, putOptions } from './options.ts';
import type { PjrtPlugin } from './plugin.ts';

/** What a client has made and not freed. */
export interface LiveHandles {
  buffers: number;
  events: number;
  executables: number;
}

/** PJRT_HostBufferSemantics: the data are copied before the call returns. */
const IMMUTABLE_ONLY_DURING_CALL = 0;

export class PjrtClient {
  readonly plugin: PjrtPlugin;
  readonly live: LiveHandles = { buffers: 0, events: 0, executables: 0 };
  /** Devices of this process, of which the first computes. */
  readonly devices: number;
  private readonly handle: Word;
  private readonly device: Word;

  private constructor(plugin: PjrtPlugin, handle: Word) {
    this.plugin = plugin;
    this.handle = handle;
    const result = plugin.call('Client_AddressableDevices', (a) => a.word('client', handle));
    this.devices = Number(result.readWord('num_devices'));
    this.device = wordsAt(result.readWord('devices'), 1)[0]!;
  }

  /** @throws PjrtError when there is no device: without a GPU or its driver */
  static async create(plugin: PjrtPlugin, options: Options = {}): Promise<PjrtClient> {
    const created = await plugin.callAsync('Client_Create', (args) => putOptions(args, options));
    return new PjrtClient(plugin, created.readWord('client'));
  }

  /** "cpu", "cuda". */
  get platform(): string {
    return this.plugin.text('Client_PlatformName', 'client', this.handle, 'platform_name');
  }

  /** "NVIDIA H200". */
  get deviceKind(): string {
    const described = this.plugin.call('Device_GetDescription', (a) => a.word('device', this.device));
    const description = described.readWord('device_description');
    return this.plugin.text('DeviceDescription_Kind', 'device_description', description, 'device_kind');
  }

  /** @throws PjrtError where the plugin doesn't count (UNIMPLEMENTED) */
  memory(): DeviceMemory {
    const stats = this.plugin.call('Device_MemoryStats', (a) => a.word('device', this.device));
    const counted = (field: string) =>
      stats.readBool(`${field}_is_set`) ? Number(stats.readWord(field)) : undefined;
    const [peak, limit] = [counted('peak_bytes_in_use'), counted('bytes_limit')];
    return {
      inUse: Number(stats.readWord('bytes_in_use')),
      ...(peak === undefined ? {} : { peak }),
      ...(limit === undefined ? {} : { limit }),
    };
  }

  /** Copies a tensor to the device. */
  upload({ data, shape, dtype }: Tensor): DeviceBuffer {
    const args = this.plugin.call('Client_BufferFromHostBuffer', (a) =>
      a
        .word('client', this.handle)
        .pointer('data', data)
        .int('type', bufferType[dtype])
        .list('dims', 'num_dims', words(shape))
        .int('host_buffer_semantics', IMMUTABLE_ONLY_DURING_CALL)
        .word('device', this.device),
    );
    this.destroyEvent(this.opened(args.readWord('done_with_host_buffer')));
    return new DeviceBuffer(this, args.readWord('buffer'), { shape, dtype });
  }

  /**
   * Compiles a module in StableHLO's text on a thread of its own.
   * @param flags of XLA's, by name
   * @throws PjrtError with the compiler's words
   */
  async compile(module: string, flags: CompileFlags = {}): Promise<Executable> {
    const program = new CStruct(structs.Program)
      .list('code', 'code_size', textBytes(module))
      .list('format', 'format_size', textBytes('mlir'));
    const args = await this.plugin.callAsync('Client_Compile', (a) =>
      a
        .word('client', this.handle)
        .pointer('program', program)
        .list('compile_options', 'compile_options_size', compileOptions(flags)),
    );
    return new Executable(this, args.readWord('executable'));
  }

  /** Counts an event, which is to be waited for by {@link settled}. */
  opened(event: Word): Word {
    this.live.events++;
    return event;
  }

  private destroyEvent(event: Word): void {
    this.live.events--;
    this.plugin.call('Event_Destroy', (a) => a.word('event', event));
  }

  /** Waits for an event on a thread of its own unless it has come, and frees it. @throws PjrtError of what it stood for */
  async settled(event: Word): Promise<void> {
    try {
      const ready = this.plugin.call('Event_IsReady', (a) => a.word('event', event)).readBool('is_ready');
      if (ready) this.plugin.call('Event_Await', (a) => a.word('event', event));
      else await this.plugin.callAsync('Event_Await', (a) => a.word('event', event));
    } finally {
      this.destroyEvent(event);
    }
  }

  destroy(): void {
    this.plugin.call('Client_Destroy', (a) => a.word('client', this.handle));
  }
}

export class DeviceBuffer {
  readonly handle: Word;
  readonly type: HostType;
  private readonly client: PjrtClient;
  private freed = false;

  constructor(client: PjrtClient, handle: Word, type: HostType) {
    this.client = client;
    this.handle = handle;
    this.type = type;
    client.live.buffers++;
  }

  /**
   * Starts a copy to the host, in row-major order.
   * @returns what waits for it, to be called once; it throws PjrtError when the computation that makes the value failed
   */
  download(): () => Promise<Tensor> {
    const { shape, dtype } = this.type;
    const data = allocate(dtype, sizeOf(shape));
    let event: Word;
    try {
      const args = this.client.plugin.call('Buffer_ToHostBuffer', (a) =>
        a
          .word('src', this.handle)
          .pointer('host_layout', rowMajor(shape.length))
          .pointer('dst', data)
          .word('dst_size', data.byteLength),
      );
      event = this.client.opened(args.readWord('event'));
    } catch (error) {
      // Copies that began before this one still write: whoever waits for all of them learns it in its turn.
      return () => Promise.reject(error);
    }
    return async () => {
      await this.client.settled(event);
      return { shape, dtype, data };
    };
  }

  /** Frees the handle, and the memory unless a run has taken it over. */
  destroy(): void {
    if (this.freed) return;
    this.freed = true;
    this.client.live.buffers--;
    this.client.plugin.call('Buffer_Destroy', (a) => a.word('buffer', this.handle));
  }
}

/** Bytes of the layout's tiled form: size, extension and five fields. */
const TILED_SIZE = 7 * 8;

/** A dense layout: without one a device gives its own. */
function rowMajor(rank: number): CStruct {
  const minorToMajor = words(Array.from({ length: rank }, (_, i) => rank - 1 - i));
  return new CStruct(structs.MemoryLayout)
    .word('tiled_size', TILED_SIZE)
    .list('minor_to_major', 'minor_to_major_size', minorToMajor);
}

export class Executable {
  private readonly client: PjrtClient;
  private readonly handle: Word;
  private freed = false;

  constructor(client: PjrtClient, handle: Word) {
    this.client = client;
    this.handle = handle;
    client.live.executables++;
  }

  /**
   * Starts a run; the results exist at once, their values come later.
   * @param types of the results, in the module's order
   */
  execute(inputs: readonly DeviceBuffer[], types: readonly HostType[]): DeviceBuffer[] {
    const results = words(types.map(() => 0));
    const argumentLists = pointerTo(words(inputs.map(({ handle }) => handle)));
    const outputLists = pointerTo(results);
    const options = new CStruct(structs.ExecuteOptions);
    this.client.plugin.call('LoadedExecutable_Execute', (a) =>
      a
        .word('executable', this.handle)
        .pointer('options', options)
        .pointer('argument_lists', argumentLists.pointer)
        .word('num_devices', 1)
        .word('num_args', inputs.length)
        .pointer('output_lists', outputLists.pointer)
        .keep([argumentLists, outputLists]),
    );
    return types.map((type, i) => new DeviceBuffer(this.client, results[i]!, type));
  }

  destroy(): void {
    if (this.freed) return;
    this.freed = true;
    this.client.live.executables--;
    this.client.plugin.call('LoadedExecutable_Destroy', (a) => a.word('executable', this.handle));
  }
}

function pointerTo(list: BigUint64Array): {
  readonly list: BigUint64Array;
  readonly pointer: BigUint64Array;
} {
  return { list, pointer: words([addressOf(list)]) };
}

export const dtypes: readonly HostDType[] = ['float32', 'int32', 'uint8', 'bool'];
