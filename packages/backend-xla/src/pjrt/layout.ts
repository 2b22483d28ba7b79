/**
 * The PJRT C API as far as it is used: for each function its place in the table of `GetPjrtApi()` and the fields of its
 * argument struct (xla/pjrt/c/pjrt_c_api.h). Both only ever grow at the end, so the layouts of a newer version serve older
 * plugins, which ignore fields that they don't know; a struct that is shorter than a plugin's own is refused by it.
 *
 * Each struct starts with `size_t struct_size` and `extension_start`; offsets follow C's rules of alignment.
 */

/** A field's C type: a pointer or size_t, an int64_t, an int or enum, a bool. */
type FieldType = 'ptr' | 'i64' | 'i32' | 'bool';

export interface Struct {
  /** `sizeof` up to the last field, as the header's STRUCT_SIZE macros count it. */
  readonly size: number;
  readonly offsets: Readonly<Record<string, number>>;
}

export interface ApiFunction extends Struct {
  /** Index in the table of functions, counted from `PJRT_Error_Destroy`. */
  readonly slot: number;
}

const sizes: Readonly<Record<FieldType, number>> = { ptr: 8, i64: 8, i32: 4, bool: 1 };

/** Bytes before the first field: `struct_size` and `extension_start`. */
const HEADER = 16;

/** @param fields `name:type` in the header's order; without a type a pointer or size_t */
function struct(...fields: string[]): Struct {
  let end = HEADER;
  const offsets: Record<string, number> = {};
  for (const field of fields) {
    const [name, type = 'ptr'] = field.split(':') as [string, FieldType?];
    const size = sizes[type];
    const at = Math.ceil(end / size) * size;
    offsets[name] = at;
    end = at + size;
  }
  return { size: end, offsets };
}

const fn = (slot: number, ...fields: string[]): ApiFunction => ({ slot, ...struct(...fields) });

/** A value and whether the device tells it. */
const reported = (name: string) => [`${name}:i64`, `${name}_is_set:bool`];

export const api = {
  Error_Destroy: fn(0, 'error'),
  Error_Message: fn(1, 'error', 'message', 'message_size'),
  Error_GetCode: fn(2, 'error', 'code:i32'),
  Plugin_Initialize: fn(3),
  Event_Destroy: fn(5, 'event'),
  Event_IsReady: fn(6, 'event', 'is_ready:bool'),
  Event_Await: fn(8, 'event'),
  Client_Create: fn(
    10,
    ...['create_options', 'num_options', 'kv_get_callback', 'kv_get_user_arg'],
    ...['kv_put_callback', 'kv_put_user_arg', 'client', 'kv_try_get_callback', 'kv_try_get_user_arg'],
  ),
  Client_Destroy: fn(11, 'client'),
  Client_PlatformName: fn(12, 'client', 'platform_name', 'platform_name_size'),
  Client_AddressableDevices: fn(16, 'client', 'devices', 'num_devices'),
  Client_Compile: fn(20, ...['client', 'program', 'compile_options', 'compile_options_size', 'executable']),
  Client_BufferFromHostBuffer: fn(
    22,
    ...['client', 'data', 'type:i32', 'dims', 'num_dims', 'byte_strides', 'num_byte_strides'],
    ...['host_buffer_semantics:i32', 'device', 'memory', 'device_layout'],
    ...['done_with_host_buffer', 'buffer'],
  ),
  DeviceDescription_Id: fn(23, 'device_description', 'id:i32'),
  DeviceDescription_Kind: fn(26, 'device_description', 'device_kind', 'device_kind_size'),
  Device_GetDescription: fn(29, 'device', 'device_description'),
  Device_MemoryStats: fn(
    34,
    ...['device', 'bytes_in_use:i64', ...reported('peak_bytes_in_use'), ...reported('num_allocs')],
    ...[...reported('largest_alloc_size'), ...reported('bytes_limit'), ...reported('bytes_reserved')],
    ...[...reported('peak_bytes_reserved'), ...reported('bytes_reservable_limit')],
    ...[...reported('largest_free_block_bytes'), ...reported('pool_bytes'), ...reported('peak_pool_bytes')],
    ...reported('later_counter'),
  ),
  LoadedExecutable_Destroy: fn(50, 'executable'),
  LoadedExecutable_Execute: fn(
    55,
    ...['executable', 'options', 'argument_lists', 'num_devices', 'num_args', 'output_lists'],
    ...['device_complete_events', 'execute_device'],
  ),
  Buffer_Destroy: fn(58, 'buffer'),
  Buffer_ToHostBuffer: fn(70, 'src', 'host_layout', 'dst', 'dst_size', 'event'),
} as const satisfies Readonly<Record<string, ApiFunction>>;

export type ApiName = keyof typeof api;

/** Structs that arguments point to. */
export const structs = {
  Program: struct('code', 'code_size', 'format', 'format_size'),
  ExecuteOptions: struct(
    ...['send_callbacks', 'recv_callbacks', 'num_send_ops', 'num_recv_ops', 'launch_id:i32'],
    ...['non_donatable_input_indices', 'num_non_donatable_input_indices', 'context', 'call_location'],
    ...['num_tasks', 'task_ids', 'incarnation_ids', 'multi_slice_config'],
    ...['later_option_1', 'later_option_2', 'later_option_3'],
  ),
  /** `type` stands behind the union of a tiled layout (its own size and extension, five fields) and a strided one. */
  MemoryLayout: struct(
    ...['tiled_size', 'tiled_extension', 'minor_to_major', 'minor_to_major_size'],
    ...['tile_dims', 'tile_dim_sizes', 'num_tiles', 'type:i32'],
  ),
  NamedValue: struct('name', 'name_size', 'type:i32', 'value:i64', 'value_size'),
} as const satisfies Readonly<Record<string, Struct>>;

/** `PJRT_Buffer_Type`. */
export const bufferType = { bool: 1, int32: 4, uint8: 6, float32: 11 } as const;

/** `PJRT_Error_Code`, which are Abseil's. */
const errorCodes = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE'],
  ...['UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
];

export const errorCodeName = (code: number): string => errorCodes[code] ?? `code ${code}`;
