/** ONNX models of anyone's making. */
import { crc32 } from 'node:zlib';
import { printable, UserError } from '@moco-ts/core';
import type { ModelDemands } from '@moco-ts/onnx';
import { hexadecimal } from '@moco-ts/run';
import { type OnnxModel, openModel } from './onnx-session.ts';
import { readWhole } from './source.ts';

export interface ForeignModel extends OnnxModel {
  readonly checksum: string;
  /** What its maker noted, by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Opens a model that reads no other file, and ends.
 * @param threads that compute; default all cores
 * @throws UserError
 */
export async function openForeignModel(path: string, threads?: number): Promise<ForeignModel> {
  const bytes = await readWhole(path);
  const { metadata } = await checkedDemands(path, bytes);
  const model = await openModel(bytes, threads).catch((error: Error) => {
    throw new UserError(`${path} is no model that ONNX Runtime takes: ${error.message}`, {
      code: 'checkpoint-invalid',
      cause: error,
    });
  });
  return { ...model, checksum: hexadecimal(crc32(bytes)), metadata };
}

async function checkedDemands(path: string, bytes: Uint8Array): Promise<ModelDemands> {
  const { modelDemands } = await import('@moco-ts/onnx');
  const refused = (text: string) => new UserError(`${path} ${text}`, { code: 'checkpoint-invalid' });
  let demands: ModelDemands;
  try {
    demands = modelDemands(bytes);
  } catch (error) {
    throw refused(`is no ONNX model: ${printable((error as Error).message)}`);
  }
  const [file] = demands.externalData;
  if (file !== undefined)
    throw refused(
      `keeps weights in another file (${printable(file)}), which is not opened: save it with its weights inside, as onnx.save(onnx.load(MODEL), MODEL) does`,
    );
  const [loop] = demands.endless;
  if (loop !== undefined) throw refused(`holds a ${loop}, which may never end: export it without`);
  return demands;
}
