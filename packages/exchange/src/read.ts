/** Reads files of torch.save, of any version. */
import { CheckpointError } from '@moco-ts/core';
import { readLegacy } from './legacy.ts';
import { type ByteSource, readExactly } from './source.ts';
import type { TorchFile } from './torch-file.ts';
import { readTorchZip } from './torch-zip.ts';

const isZip = (front: Uint8Array) => front[0] === 0x50 && front[1] === 0x4b;

/** Whether a file's first bytes are those of a zip file, or of a pickle of protocol 2 or newer. */
export function isTorch(front: Uint8Array): boolean {
  return isZip(front) || front[0] === 0x80;
}

/**
 * Opens a file of torch.save, of the zip format (PyTorch 1.6 and newer) or the one before. No code is run: a file may
 * hold tensors and plain containers (dict, OrderedDict, list, tuple, set, numbers, texts, bytes, argparse.Namespace),
 * and anything else is refused by its name.
 * @throws CheckpointError when it is damaged, is something else, or holds what is refused
 */
export async function readTorch(source: ByteSource): Promise<TorchFile> {
  const front = await readExactly(source, 0, Math.min(4, source.size));
  if (!isTorch(front)) throw new CheckpointError(`${source.name} is no file of torch.save`);
  return isZip(front) ? readTorchZip(source) : readLegacy(source);
}
