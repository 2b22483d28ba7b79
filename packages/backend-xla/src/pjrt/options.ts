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

/** A field of a protocol buffer that is a text, or a message of fields; of less than 128 bytes. */
const bytesField = (field: number, bytes: Iterable<number>) => [
  (field << 3) | 2,
  [...bytes].length,
  ...bytes,
];

/** executable_build_options: field 1, device_ordinal -1 (any), field 4, num_replicas 1, and field 5, num_partitions 1. */
const oneDevice = [
  ...[1 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  ...[4 << 3, 1, 5 << 3, 1],
];

/**
 * A serialised CompileOptionsProto (xla/pjrt/proto/compile_options.proto) for one device: field 3, executable_build_options, and
 * for each flag one of field 7, env_option_overrides, a map from names to OptionOverrideProto, whose field 2 is a truth.
 */
export function compileOptions(flags: CompileFlags): Uint8Array<ArrayBuffer> {
  const overrides = Object.entries(flags).flatMap(([name, value]) =>
    bytesField(7, [...bytesField(1, textBytes(name)), ...bytesField(2, [2 << 3, Number(value)])]),
  );
  return Uint8Array.from([...bytesField(3, oneDevice), ...overrides]);
}
