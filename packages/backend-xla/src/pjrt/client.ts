/** A client of a plugin: its devices, buffers on them, and programs compiled for them. */
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
  /** The devices of this process. */
  readonly available: readonly Word[];
  /** Those that compute, a replica on each; a program of one replica runs on the first. */
  readonly devices: readonly Word[];
  private readonly handle: Word;

  private constructor(plugin: PjrtPlugin, handle: Word, chosen: readonly number[] | undefined) {
    this.plugin = plugin;
    this.handle = handle;
    const result = plugin.call('Client_AddressableDevices', (a) => a.word('client', handle));
    this.available = wordsAt(result.readWord('devices'), Number(result.readWord('num_devices')));
    this.devices = chosen?.flatMap((number) => this.available[number] ?? []) ?? this.available;
  }

  /**
   * @param chosen the numbers of the devices that compute, as far as they are there; default all
   * @throws PjrtError when there is no device: without a GPU or its driver
   */
  static async create(
    plugin: PjrtPlugin,
    options: Options = {},
    chosen?: readonly number[],
  ): Promise<PjrtClient> {
    const created = await plugin.callAsync('Client_Create', (args) => putOptions(args, options));
    return new PjrtClient(plugin, created.readWord('client'), chosen);
  }

  /** "cpu", "cuda". */
  get platform(): string {
    return this.plugin.text('Client_PlatformName', 'client', this.handle, 'platform_name');
  }

  /** "NVIDIA H200". */
  get deviceKind(): string {
    return this.plugin.text(
      'DeviceDescription_Kind',
      'device_description',
      this.descriptions()[0]!,
      'device_kind',
    );
  }

  /** Of the devices that compute. */
  private descriptions(): Word[] {
    return this.devices.map((device) =>
      this.plugin
        .call('Device_GetDescription', (a) => a.word('device', device))
        .readWord('device_description'),
    );
  }

  /** Of the first device that computes. @throws PjrtError where the plugin doesn't count (UNIMPLEMENTED) */
  memory(): DeviceMemory {
    const stats = this.plugin.call('Device_MemoryStats', (a) => a.word('device', this.devices[0]!));
    const counted = (field: string) =>
      stats.readBool(`${field}_is_set`) ? Number(stats.readWord(field)) : undefined;
    const [peak, limit] = [counted('peak_bytes_in_use'), counted('bytes_limit')];
    return {
      inUse: Number(stats.readWord('bytes_in_use')),
      ...(peak === undefined ? {} : { peak }),
      ...(limit === undefined ? {} : { limit }),
    };
  }

  /**
   * Copies tensors of one type to the devices.
   * @param values one for each replica
   */
  upload(values: readonly Tensor[]): DeviceBuffer {
    const handles: Word[] = [];
    const { shape, dtype } = values[0]!;
    try {
      for (const [i, value] of values.entries()) handles.push(this.uploadTo(this.devices[i]!, value));
    } finally {
      this.live.buffers += handles.length;
      if (handles.length < values.length) this.destroyBuffers(handles);
    }
    return new DeviceBuffer(this, handles, { shape, dtype });
  }

  private uploadTo(device: Word, { data, shape, dtype }: Tensor): Word {
    const args = this.plugin.call('Client_BufferFromHostBuffer', (a) =>
      a
        .word('client', this.handle)
        .pointer('data', data)
        .int('type', bufferType[dtype])
        .list('dims', 'num_dims', words(shape))
        .int('host_buffer_semantics', IMMUTABLE_ONLY_DURING_CALL)
        .word('device', device),
    );
    this.destroyEvent(this.opened(args.readWord('done_with_host_buffer')));
    return args.readWord('buffer');
  }

  destroyBuffers(handles: readonly Word[]): void {
    for (const handle of handles) {
      this.live.buffers--;
      this.plugin.call('Buffer_Destroy', (a) => a.word('buffer', handle));
    }
  }

  /**
   * Compiles a module in StableHLO's text on a thread of its own.
   * @param replicas that run at once, each on a device
   * @param flags of XLA's, by name
   * @throws PjrtError with the compiler's words
   */
  async compile(module: string, replicas = 1, flags: CompileFlags = {}): Promise<Executable> {
    const ids = this.descriptions()
      .slice(0, replicas)
      .map((description) =>
        this.plugin
          .call('DeviceDescription_Id', (a) => a.word('device_description', description))
          .readInt('id'),
      );
    const program = new CStruct(structs.Program)
      .list('code', 'code_size', textBytes(module))
      .list('format', 'format_size', textBytes('mlir'));
    const args = await this.plugin.callAsync('Client_Compile', (a) =>
      a
        .word('client', this.handle)
        .pointer('program', program)
        .list('compile_options', 'compile_options_size', compileOptions(ids, flags)),
    );
    return new Executable(this, args.readWord('executable'), replicas);
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

/** A value on the device, or one on the device of each replica. */
export class DeviceBuffer {
  readonly handles: readonly Word[];
  readonly type: HostType;
  private readonly client: PjrtClient;
  private freed = false;

  /** @param handles counted by the client */
  constructor(client: PjrtClient, handles: readonly Word[], type: HostType) {
    this.client = client;
    this.handles = handles;
    this.type = type;
  }

  /**
   * Starts a copy to the host, in row-major order; of replicas the first one's.
   * @param data what it is written to
   * @returns what waits for it, to be called once; it throws PjrtError when the computation that makes the value failed
   */
  download(data: Tensor['data'] = allocate(this.type.dtype, sizeOf(this.type.shape))): () => Promise<Tensor> {
    const { shape, dtype } = this.type;
    let event: Word;
    try {
      const args = this.client.plugin.call('Buffer_ToHostBuffer', (a) =>
        a
          .word('src', this.handles[0]!)
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

  /** Frees the handles, and the memory unless a run has taken it over. */
  destroy(): void {
    if (this.freed) return;
    this.freed = true;
    this.client.destroyBuffers(this.handles);
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
  private readonly replicas: number;
  private freed = false;

  constructor(client: PjrtClient, handle: Word, replicas: number) {
    this.client = client;
    this.handle = handle;
    this.replicas = replicas;
    client.live.executables++;
  }

  /**
   * Starts a run; the results exist at once, their values come later.
   * @param types of the results, in the module's order
   */
  execute(inputs: readonly DeviceBuffer[], types: readonly HostType[]): DeviceBuffer[] {
    const replicas = Array.from({ length: this.replicas }, (_, replica) => replica);
    const given = replicas.map((replica) => words(inputs.map(({ handles }) => handles[replica]!)));
    const results = replicas.map(() => words(types.map(() => 0)));
    const options = new CStruct(structs.ExecuteOptions);
    this.client.plugin.call('LoadedExecutable_Execute', (a) =>
      a
        .word('executable', this.handle)
        .pointer('options', options)
        .pointer('argument_lists', words(given.map(addressOf)))
        .word('num_devices', this.replicas)
        .word('num_args', inputs.length)
        .pointer('output_lists', words(results.map(addressOf)))
        .keep([given, results]),
    );
    this.client.live.buffers += this.replicas * types.length;
    return types.map(
      (type, i) =>
        new DeviceBuffer(
          this.client,
          results.map((handles) => handles[i]!),
          type,
        ),
    );
  }

  destroy(): void {
    if (this.freed) return;
    this.freed = true;
    this.client.live.executables--;
    this.client.plugin.call('LoadedExecutable_Destroy', (a) => a.word('executable', this.handle));
  }
}

export const dtypes: readonly HostDType[] = ['float32', 'int32', 'uint8', 'bool'];
