/** Errors of the commands carry the code that tells them apart, and the flag to change by the name of its option. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DataError, type ErrorCode, UserError } from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { createProgram } from './main.ts';
import { imageFolder, moco, temporaryFolder, tiny } from './testing.ts';
import { npyHeader } from './vectors/npy.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
/** A file in the folder. */
function file(name: string, content: string | Uint8Array): string {
  writeFileSync(at(name), content);
  return at(name);
}
const images = imageFolder(8);
const run = at('run');
await moco('pretrain', images, ...tiny, '--max-steps', '1', '--out', run);
/** Two vectors of two values; their ids are beside one of the two files. */
const npy = Buffer.concat([npyHeader(2, 2), new Uint8Array(Float32Array.from([1, 0, 0, 1]).buffer)]);
const vectors = file('v.npy', npy);
file('v.ids.json', '{"ids": ["a.png", "b.png"]}');
const alone = file('alone.npy', npy);
const model = file('m.onnx', 'no model');
mkdirSync(at('taken'));

/** What a command throws, before it is put into words. */
async function thrown(...args: string[]): Promise<unknown> {
  const io = { out: () => {}, err: () => {}, live: false, color: false };
  return createProgram(io, () => {})
    .parseAsync(args, { from: 'user' })
    .then(
      () => undefined,
      (error: unknown) => error,
    );
}

const table: [string, string[], ErrorCode, string | undefined, typeof UserError][] = [
  ['a name of another kind', ['convert', run, '-o', at('x.txt')], 'setting-invalid', 'output', UserError],
  ['an import into another kind', ['import', run, '-o', at('x.pt')], 'setting-invalid', 'output', UserError],
  [
    'vectors into another kind',
    ['embed', run, images, '--out', at('x.csv')],
    'setting-invalid',
    'out',
    UserError,
  ],
  ['no data', ['pretrain', '--out', at('p')], 'setting-missing', 'data', UserError],
  [
    'flags that exclude each other',
    ['export', run, '-o', at('e.onnx'), '--transformers-js', '--with-preprocess'],
    'setting-conflict',
    'transformersJs',
    UserError,
  ],
  [
    'a flag without its other',
    ['export', run, '-o', at('e.onnx'), '--calibrate', images],
    'setting-conflict',
    'calibrate',
    UserError,
  ],
  [
    'what is exported already',
    ['embed', model, images, '--out', at('x.npy'), '--with-head'],
    'setting-conflict',
    'withHead',
    UserError,
  ],
  ['no model', ['embed', model, images, '--out', at('x.npy')], 'checkpoint-invalid', undefined, UserError],
  ['vectors without ids', ['dedupe', alone], 'file-missing', undefined, DataError],
  ['no file and no id', ['search', vectors, 'c.png'], 'file-missing', undefined, UserError],
  [
    'no encoder of a query',
    ['search', vectors, join(images, 'nowhere.png')],
    'file-missing',
    undefined,
    UserError,
  ],
  ['no encoder of a folder', ['dedupe', images], 'setting-missing', 'model', UserError],
  ['more than is compared', ['dedupe', vectors, '--max', '1'], 'setting-invalid', 'max', UserError],
  ['no images of vectors', ['map', vectors, '--out', at('m.html')], 'setting-missing', 'data', UserError],
  ['no page', ['map', vectors, '--out', at('m.txt')], 'setting-invalid', 'out', UserError],
  ['no log', ['report', at('nowhere')], 'file-missing', undefined, UserError],
  ['no run in a folder', ['report', at('taken')], 'file-missing', undefined, UserError],
  [
    'an unknown key',
    ['replay', file('k.json', '{"what": 1}'), '--in', alone, '--out', at('o')],
    'setting-unknown',
    'what',
    UserError,
  ],
];

describe('a program can tell apart', () => {
  it.each(table)('%s', async (_, args, code, setting, Kind) => {
    const error = await thrown(...args);
    expect(error).toBeInstanceOf(Kind);
    expect(error).toMatchObject({ code });
    expect((error as UserError).setting).toBe(setting);
  });
});
