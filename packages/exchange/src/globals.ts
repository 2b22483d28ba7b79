/** The names that PyTorch files use for tensors and plain containers, and their counterparts here. */
import { elementTypes } from './dtypes.ts';
import { asKey } from './pickle-machine.ts';
import { PickleError } from './pickle-reader.ts';
import { type Callable, type Dict, isKind, type Value } from './values.ts';

type Call = Callable['call'];

/** The counterpart of a dotted name; undefined for all but tensors and plain containers. */
export function plainGlobal(name: string): Value | undefined {
  return table.get(name);
}

function wrong(name: string): PickleError {
  return new PickleError(`${name} has arguments that are none of its own`);
}

/** `OrderedDict()`, or from pairs as Python 2 wrote it. */
const orderedDict: Call = ([pairs = []], meter) => {
  if (!Array.isArray(pairs)) throw wrong('OrderedDict');
  meter.spend(pairs.length);
  const dict: Dict = new Map();
  for (const pair of pairs) {
    const items = isKind(pair, 'tuple') ? pair.items : pair;
    if (!Array.isArray(items) || items.length !== 2) throw wrong('OrderedDict');
    dict.set(asKey(items[0]), items[1]);
  }
  return dict;
};

const set: Call = ([items = []], meter) => {
  const list = isKind(items, 'tuple') ? items.items : items;
  if (!Array.isArray(list)) throw wrong('set');
  meter.spend(list.length);
  return new Set(list.map(asKey));
};

/** Bytes that a call may copy for each unit of what a pickle may make. */
const bytesPerUnit = 16;

/** How bytes look in protocol 2: a text, one character a byte. */
const encode: Call = ([text, encoding], meter) => {
  if (typeof text !== 'string' || encoding !== 'latin1') throw wrong('_codecs.encode');
  meter.spend(Math.ceil(text.length / bytesPerUnit));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i);
    if (byte > 255) throw wrong('_codecs.encode');
    bytes[i] = byte;
  }
  return bytes;
};

const bytearray: Call = ([bytes], meter) => {
  if (bytes === undefined) return new Uint8Array(0);
  if (!(bytes instanceof Uint8Array)) throw wrong('bytearray');
  meter.spend(Math.ceil(bytes.length / bytesPerUnit));
  return bytes.slice();
};

/** `torch.Size((2, 3))` */
const size: Call = ([extents]) => {
  if (!isKind(extents, 'tuple')) throw wrong('torch.Size');
  return extents;
};

/** `torch.device('cuda', 0)`: its type alone. */
const device: Call = ([type]) => {
  if (typeof type !== 'string') throw wrong('torch.device');
  return type;
};

const maxAxes = 64;

function natural(value: Value | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function extents(value: Value | undefined): readonly number[] {
  if (!isKind(value, 'tuple') || value.items.length > maxAxes || !value.items.every(natural))
    throw wrong('a tensor');
  return value.items as readonly number[];
}

/**
 * A tensor from (storage, offset, shape, strides, ...), with between `least` and `most` arguments.
 * @param typeAt where the element type stands; default: that of the storage
 */
function rebuild(least: number, most: number, typeAt?: number): Call {
  return (args, meter) => {
    const [storage, offset, shapeValue, stridesValue] = args;
    if (args.length < least || args.length > most) throw wrong('a tensor');
    if (!isKind(storage, 'storage') || !natural(offset)) throw wrong('a tensor');
    const [shape, strides] = [extents(shapeValue), extents(stridesValue)];
    const type = typeAt === undefined ? storage : args[typeAt];
    const dtype = isKind(type, 'storage') || isKind(type, 'dtype') ? type.dtype : 'untyped';
    if (shape.length !== strides.length || dtype === 'untyped') throw wrong('a tensor');
    meter.spend(2 * shape.length);
    const last = shape.reduce((at, extent, axis) => at + (extent - 1) * strides[axis]!, offset);
    const ratio = elementTypes[dtype]!.width / elementTypes[storage.dtype]!.width;
    if (!shape.includes(0) && !((last + 1) * ratio <= storage.elements))
      throw new PickleError(`a tensor reaches beyond its storage of ${storage.elements} elements`);
    return { kind: 'tensor', storage, dtype, offset, shape, strides };
  };
}

/** A parameter is its tensor; whether it is trained, its hooks and its attributes are of no use here. */
const parameter: Call = ([data]) => {
  if (!isKind(data, 'tensor')) throw wrong('a parameter');
  return data;
};

const calls: Readonly<Record<string, Call>> = {
  'collections.OrderedDict': orderedDict,
  'argparse.Namespace': (args) => {
    if (args.length > 0) throw wrong('argparse.Namespace');
    return new Map();
  },
  'builtins.set': set,
  '__builtin__.set': set,
  'builtins.frozenset': set,
  '__builtin__.frozenset': set,
  'builtins.bytearray': bytearray,
  '__builtin__.bytearray': bytearray,
  '_codecs.encode': encode,
  'torch.Size': size,
  'torch.device': device,
  'torch._utils._rebuild_tensor': rebuild(4, 4),
  'torch._utils._rebuild_tensor_v2': rebuild(6, 7),
  'torch._utils._rebuild_tensor_v3': rebuild(7, 8, 6),
  'torch._utils._rebuild_parameter': parameter,
  'torch._utils._rebuild_parameter_with_state': parameter,
};

const table = new Map<string, Value>();
for (const [name, call] of Object.entries(calls)) table.set(name, { kind: 'callable', name, call });
for (const [dtype, { storage }] of Object.entries(elementTypes)) {
  if (storage !== undefined) table.set(`torch.${storage}`, { kind: 'storage-type', dtype });
  if (dtype !== 'untyped') table.set(`torch.${dtype}`, { kind: 'dtype', dtype });
}
for (const module of ['torch', 'torch.storage'])
  table.set(`${module}.UntypedStorage`, { kind: 'storage-type', dtype: 'untyped' });
