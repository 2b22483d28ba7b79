/** What clients and compilations are configured with. */
import { structs } from './layout.ts';
import { addressOf, CStruct, textBytes } from './memory.ts';

/** Integers are bigints: PJRT tells them from floats. */
export type OptionValue = string | bigint | number | boolean;
export type Options = Readonly<Record<string, OptionValue>>;

const kinds = { string: 0, bigint: 1, number: 3, boolean: 4 } as const;

/** Fills `create_options` of a call with a list of PJRT_NamedValue. */
export function putOptions(args: CStruct, options: Options): void {
  const named = Object.entries(options).map(([name, value]) => namedValue(name, value));
  const list = new Uint8Array(Math.max(1, named.length * structs.NamedValue.size));
  named.forEach(({ bytes }, i) => {
    list.set(new Uint8Array(bytes), i * structs.NamedValue.size);
  });
  args.pointer('create_options', list).word('num_options', named.length);
  for (const value of named) args.keep(value);
}

function namedValue(name: string, value: OptionValue): CStruct {
  const key = textBytes(name);
  const named = new CStruct(structs.NamedValue)
    .list('name', 'name_size', key)
    .int('type', kinds[typeof value as keyof typeof kinds]);
  if (typeof value === 'string') {
    const text = textBytes(value);
    return named.keep(text).word('value', addressOf(text)).word('value_size', text.length);
  }
  const bits = typeof value === 'number' ? floatBits(value) : BigInt(value);
  return named.word('value', bits).word('value_size', 1);
}

function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}

/** Flags of XLA's for one compilation, by name. */
export type CompileFlags = Readonly<Record<string, boolean>>;

/** Of a protocol buffer: seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

const intField = (field: number, value: number) => [...varint(field << 3), ...varint(value)];

/** A text, or a message of fields. */
const bytesField = (field: number, bytes: Iterable<number>) => {
  const content = [...bytes];
  return [...varint((field << 3) | 2), ...varint(content.length), ...content];
};

/**
 * A serialised CompileOptionsProto (xla/pjrt/proto/compile_options.proto): field 3, executable_build_options, and for each flag one
 * of field 7, env_option_overrides, a map from names to OptionOverrideProto, whose field 2 is a truth.
 * @param devices the ids of the replicas' devices
 */
export function compileOptions(devices: readonly number[], flags: CompileFlags): Uint8Array<ArrayBuffer> {
  const overrides = Object.entries(flags).flatMap(([name, value]) =>
    bytesField(7, [...bytesField(1, textBytes(name)), ...bytesField(2, intField(2, Number(value)))]),
  );
  return Uint8Array.from([...bytesField(3, buildOptions(devices)), ...overrides]);
}

/** device_ordinal -1 (any), num_replicas, num_partitions 1, device_assignment. */
const buildOptions = (devices: readonly number[]) => [
  ...[...intField(1, -1), ...intField(4, devices.length), ...intField(5, 1)],
  ...bytesField(9, assignment(devices)),
];

/** DeviceAssignmentProto: replica_count, computation_count and, of the one computation, the devices of its replicas. */
const assignment = (devices: readonly number[]) => [
  ...[...intField(1, devices.length), ...intField(2, 1)],
  ...bytesField(
    3,
    devices.flatMap((id) => intField(1, id)),
  ),
];
