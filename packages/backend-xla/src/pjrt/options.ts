/** Options: of clients, as PJRT's named values, and of compilations, as XLA's CompileOptionsProto. */
import protobuf from 'protobufjs/minimal.js';
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

/** Field numbers of xla/pjrt/proto/compile_options.proto, and of ExecutableBuildOptionsProto in it. */
const EXECUTABLE_BUILD_OPTIONS = 3;
const ENV_OPTION_OVERRIDES = 7;
const DEVICE_ORDINAL = 1;
const NUM_REPLICAS = 4;
const NUM_PARTITIONS = 5;
/** OptionOverrideProto. */
const overrides = { string: 1, boolean: 2, bigint: 3, number: 4 } as const;
const DELIMITED = 2;
const VARINT = 0;
const FIXED64 = 1;

/**
 * A serialised CompileOptionsProto for one device.
 * @param flags of XLA by name, without `--`
 */
export function compileOptions(flags: Options = {}): Uint8Array {
  const writer = protobuf.Writer.create();
  const tag = (field: number, wire: number) => writer.uint32((field << 3) | wire);
  tag(EXECUTABLE_BUILD_OPTIONS, DELIMITED).fork();
  tag(DEVICE_ORDINAL, VARINT).int64(-1);
  tag(NUM_REPLICAS, VARINT).int64(1);
  tag(NUM_PARTITIONS, VARINT).int64(1);
  writer.ldelim();
  for (const [name, value] of Object.entries(flags)) {
    tag(ENV_OPTION_OVERRIDES, DELIMITED).fork();
    tag(1, DELIMITED).string(name);
    tag(2, DELIMITED).fork();
    const field = overrides[typeof value as keyof typeof overrides];
    if (typeof value === 'string') tag(field, DELIMITED).string(value);
    else if (typeof value === 'boolean') tag(field, VARINT).bool(value);
    else if (typeof value === 'bigint') tag(field, VARINT).int64(Number(value));
    else tag(field, FIXED64).double(value);
    writer.ldelim().ldelim();
  }
  return writer.finish();
}
