/** The format of torch.save since PyTorch 1.6: a zip file without compression, of one pickle and each storage. */
import { CheckpointError, printable } from '@moco-ts/core';
import { configure, type Entry, type FileEntry, Reader, Uint8ArrayWriter, ZipReader } from '@zip.js/zip.js';
import { widthOf } from './dtypes.ts';
import { PickleError } from './pickle-reader.ts';
import { type ByteSource, readExactly } from './source.ts';
import {
  maxPickle,
  pickleFailure,
  readPickle,
  readTensors,
  storageHost,
  type TorchFile,
} from './torch-file.ts';
import type { Storage } from './values.ts';

configure({ useWebWorkers: false });

class SourceReader extends Reader<ByteSource> {
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    super(source);
    this.#source = source;
    this.size = source.size;
  }

  override readUint8Array(index: number, length: number): Promise<Uint8Array> {
    return readExactly(this.#source, index, Math.max(0, Math.min(length, this.#source.size - index)));
  }
}

/** A zip file of torch.save with the records that were asked for. */
interface Archive {
  /** The bytes of a record, checked against its checksum. */
  read(name: string): Promise<Uint8Array>;
  has(name: string): boolean;
  /** In bytes. */
  sizeOf(name: string): number;
  /** The folder that all records are in, with its slash. */
  readonly folder: string;
}

/** Records of an archive: a network has hundreds of tensors, its optimizer a few times as many. */
const maxRecords = 20_000;

/** What archives of programs hold and those of tensors do not. */
const programs: readonly (readonly [record: RegExp, what: string])[] = [
  [/^[^/]*\/(constants\.pkl|code\/.*|model\.json)$/, 'a TorchScript archive'],
  [/^[^/]*\/archive_format$|(^|\/)serialized_exported_program\.json$/, 'a program of torch.export'],
];

async function openArchive(source: ByteSource): Promise<Archive> {
  const fail = (why: string) =>
    new CheckpointError(`${source.name} is no readable file of torch.save: ${why}`);
  /** zip.js has errors of no class of their own. */
  const asked = <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      if (error instanceof CheckpointError) throw error;
      throw fail(`as a zip file, ${printable(error instanceof Error ? error.message : String(error))}`);
    });
  const reader = new ZipReader(new SourceReader(source), { checkOverlappingEntry: true });
  const entries = new Map<string, FileEntry>();
  let total = 0;
  const directory = reader.getEntriesGenerator();
  for (;;) {
    const { value: entry, done } = await asked(directory.next());
    if (done) break;
    if (isFolder(entry)) continue;
    if (entries.size === maxRecords) throw fail(`it holds more than ${maxRecords} records`);
    const program = programs.find(([record]) => record.test(entry.filename));
    if (program)
      throw new CheckpointError(
        `${source.name} is ${program[1]}, which holds code: save its weights by torch.save(model.state_dict(), "weights.pth")`,
      );
    const { filename, compressedSize, uncompressedSize, compressionMethod, encrypted } = entry;
    const shown = printable(filename);
    if (entries.has(filename)) throw fail(`it holds ${shown} twice`);
    if (encrypted) throw fail(`${shown} is encrypted`);
    // Names tell folders; of a record that is marked as one, PyTorch reads zeros.
    if ((entry.externalFileAttributes & 0x10) !== 0) throw fail(`${shown} is marked as a folder`);
    // PyTorch never compresses; so no record is larger than the file, and none can be a bomb.
    if (compressionMethod !== 0 || compressedSize !== uncompressedSize)
      throw fail(`${shown} is compressed, which torch.save never does: save it anew`);
    total += uncompressedSize;
    if (total > source.size) throw fail(`${shown} is cut off, or lies over another record`);
    entries.set(filename, entry);
  }
  const pickle = [...entries.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (pickle.length !== 1) throw fail(`it holds ${pickle.length} pickles by the name data.pkl, not 1`);
  const folder = pickle[0]!.slice(0, -'data.pkl'.length);
  const entryOf = (name: string) => {
    const entry = entries.get(`${folder}${name}`);
    if (entry === undefined) throw fail(`its record ${printable(name)} is missing`);
    return entry;
  };
  return {
    folder,
    has: (name) => entries.has(`${folder}${name}`),
    sizeOf: (name) => entryOf(name).uncompressedSize,
    read: async (name) => {
      const entry = entryOf(name);
      // Without checksums (torch.serialization.set_crc32_options) PyTorch writes 0.
      const checkSignature = entry.signature !== 0;
      const bytes = await asked(entry.getData(new Uint8ArrayWriter(), { checkSignature }));
      if (bytes.length !== entry.uncompressedSize) throw fail(`its record ${printable(name)} is cut off`);
      return bytes;
    },
  };
}

function isFolder(entry: Entry): entry is Exclude<Entry, FileEntry> {
  return entry.directory;
}

/** @throws CheckpointError */
export async function readTorchZip(source: ByteSource): Promise<TorchFile> {
  const fail = (why: string) => new CheckpointError(`${source.name} ${why}`);
  const archive = await openArchive(source);
  if (archive.has('byteorder') && new TextDecoder().decode(await archive.read('byteorder')) !== 'little')
    throw fail('was saved on a big-endian machine, which is not read here');
  if (archive.sizeOf('data.pkl') > maxPickle)
    throw fail(`holds a pickle of more than ${maxPickle / 2 ** 20} MB beside its tensors`);
  const host = storageHost(false);
  const pickle = await archive.read('data.pkl');
  const within = ` of ${printable(archive.folder)}data.pkl`;
  const { value } = readWhole(() => readPickle(pickle, 0, host, source.name, within), source.name);
  for (const { key, elements, dtype } of host.storages.values()) {
    const size = archive.sizeOf(`data/${key}`);
    if (size !== elements * widthOf(dtype))
      throw fail(
        `is no readable file of torch.save: the storage ${printable(key)} has ${size} bytes, not ${elements * widthOf(dtype)}`,
      );
  }
  return {
    name: source.name,
    format: 'zip',
    value,
    read: (tensors) => readTensors(source.name, tensors, ({ key }: Storage) => archive.read(`data/${key}`)),
  };
}

function readWhole<T>(read: () => T, file: string): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof PickleError ? pickleFailure(error, file) : error;
  }
}
