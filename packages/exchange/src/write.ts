/** Writes files that `torch.load(..., weights_only=True)` reads. */
import { type HostDType, joinBytes, stridesOf, type Tensor } from '@moco-ts/core';
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import { encodeText, Pickler, type PickleTensor, tensorBytes, type Writable } from './pickler.ts';

const storageTypes: Readonly<Record<HostDType, string>> = {
  float32: 'FloatStorage',
  int32: 'IntStorage',
  uint8: 'ByteStorage',
  bool: 'BoolStorage',
};

/**
 * The bytes of a file as torch.save writes it (zip format, little-endian, pickle protocol 2). The same value gives the
 * same bytes. Tensors that share their data share a storage.
 */
export async function encodeTorch(value: Writable): Promise<Uint8Array> {
  const storages = new Map<Tensor['data'], Storage>();
  const out = new Pickler(2, torchTensor(storages));
  out.value(value);
  // The time of each record, the same for all; time zones are read from and written to the machine's own.
  const lastModDate = new Date(1980, 0, 1);
  const writer = new ZipWriter(new Uint8ArrayWriter(), {
    level: 0,
    dataDescriptor: false,
    extendedTimestamp: false,
    lastModDate,
    useWebWorkers: false,
  });
  const add = (name: string, bytes: Uint8Array) => writer.add(`archive/${name}`, new Uint8ArrayReader(bytes));
  await add('data.pkl', joinBytes(out.end()));
  await add('byteorder', encodeText('little'));
  for (const { key, bytes } of storages.values()) await add(`data/${key}`, bytes);
  await add('version', encodeText('3\n'));
  return writer.close();
}

interface Storage {
  readonly key: string;
  readonly bytes: Uint8Array;
}

/** `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())` */
const torchTensor =
  (storages: Map<Tensor['data'], Storage>): PickleTensor =>
  (out, tensor) => {
    const { dtype, shape, data } = tensor;
    const { key } = storages.get(data) ?? { key: String(storages.size) };
    storages.set(data, { key, bytes: tensorBytes(tensor) });
    out.code('ctorch._utils\n_rebuild_tensor_v2\n(');
    out.code('(');
    out.text('storage');
    out.code(`ctorch\n${storageTypes[dtype]}\n`);
    out.text(key);
    out.text('cpu');
    out.number(data.length);
    out.code('tQ');
    out.number(0);
    out.integers(shape);
    out.integers(stridesOf(shape));
    out.value(false);
    out.code('ccollections\nOrderedDict\n)RtR');
  };
