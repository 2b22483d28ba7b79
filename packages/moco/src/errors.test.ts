/** What programs are told of an error beside its message. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  CheckpointError,
  DataError,
  decodeBytes,
  decodeFile,
  errorCodes,
  loadEncoder,
  UserError,
} from './index.ts';

const bytes = new TextEncoder().encode('neither an image nor a network');

describe('a program can tell apart', () => {
  it.each([
    ['an image that is not there', () => decodeFile('./nowhere.png'), DataError, 'file-missing'],
    ['one that is damaged', () => decodeBytes(bytes), DataError, 'data-invalid'],
    ['an encoder that is not there', () => loadEncoder('./nowhere'), UserError, 'file-missing'],
    ['one that is damaged', () => loadEncoder(bytes), CheckpointError, 'checkpoint-invalid'],
  ] as const)('%s', async (_, act, Kind, code) => {
    const error = await act().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Kind);
    expect(error).toMatchObject({ code });
    expect(error).not.toHaveProperty('setting');
  });

  it('an option that is wrong, and its value', async () => {
    const error = await loadEncoder(bytes, { batchSize: 0.5 }).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'setting-invalid', setting: 'batchSize', value: 0.5 });
  });
});

it('the documents list all codes', () => {
  const page = readFileSync(new URL('../../../docs/library.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (.*) \|$/gm)].map(([, code, meaning]) => [
    code,
    meaning,
  ]);
  expect(Object.fromEntries(rows)).toEqual(errorCodes);
});
