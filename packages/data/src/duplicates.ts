/** Images that are the same file, or the same bytes in memory. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { ImageDataset, RawImages } from './dataset.ts';
import { pathOf } from './datasets/names.ts';
import { createGate } from './gate.ts';

/** More files, or more bytes in files of one length, are not looked through. */
const MOST_FILES = 200_000;
const MOST_BYTES = 2 ** 31;

/**
 * How many images equal an earlier one byte for byte. Files are read only where another one has the same length. One that can't be read
 * is like no other.
 * @returns undefined where the images are a program's own, or too many to look through
 */
export async function byteDuplicates(dataset: ImageDataset): Promise<number | undefined> {
  const shared = dataset.share?.();
  if (shared?.kind === 'raw') return repeated(recordHashes(shared));
  if (shared?.kind !== 'files' || shared.paths.length > MOST_FILES) return undefined;
  const gate = createGate(16);
  const bySize = new Map<number, (string | Buffer)[]>();
  await Promise.all(
    shared.paths.map((path) =>
      gate.run(1, async () => {
        const file = pathOf(shared.root, path);
        const size = (await stat(file).catch(() => undefined))?.size;
        if (size === undefined) return;
        const others = bySize.get(size);
        if (others) others.push(file);
        else bySize.set(size, [file]);
      }),
    ),
  );
  const alike = [...bySize].filter(([, paths]) => paths.length > 1);
  if (alike.reduce((sum, [size, paths]) => sum + size * paths.length, 0) > MOST_BYTES) return undefined;
  const hashes = await Promise.all(
    alike.flatMap(([, paths]) => paths.map((path) => gate.run(1, () => fileHash(path)))),
  );
  return repeated(hashes.filter((hash) => hash !== undefined));
}

const repeated = (hashes: readonly string[]) => hashes.length - new Set(hashes).size;

function recordHashes({ bytes, length, width, height, channels }: RawImages): string[] {
  const record = width * height * channels;
  return Array.from({ length }, (_, i) =>
    createHash('sha256')
      .update(new Uint8Array(bytes, i * record, record))
      .digest('base64'),
  );
}

async function fileHash(path: string | Buffer): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return undefined;
  }
  return hash.digest('base64');
}
