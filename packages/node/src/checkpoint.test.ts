import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CheckpointError, encodeSafetensors, tensor } from '@moco-ts/core';
import { checkpointName, resolveConfig } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../cli/src/testing.ts';
import {
  checkNewest,
  holdsRun,
  listCheckpoints,
  openCheckpoint,
  readCheckpoint,
  saveCheckpoint,
} from './checkpoint.ts';

const dataset = { source: { data: 'photos', split: 'train' as const } };
const config = resolveConfig({ data: 'photos', keep: 2 }, dataset);

function save(folder: string, epoch: number, step = 0) {
  const info = { epoch, step, globalStep: 10 * epoch + step, config, images: 5, losses: [epoch / 3] };
  const tensors = {
    'q.conv1.weight': tensor([epoch, Math.fround(0.1), -0], [3]),
    queue_ptr: tensor([epoch], [], 'int32'),
  };
  return saveCheckpoint(folder, info, tensors);
}

async function opened(folder: string, setAside = false) {
  const warnings: string[] = [];
  const { info } = await openCheckpoint(folder, (text) => warnings.push(text), setAside);
  return { at: [info.epoch, info.step], warnings };
}

describe('checkpoints', () => {
  it('come back as they were saved', async () => {
    const folder = temporaryFolder();
    const { info, tensors } = await readCheckpoint(await save(folder, 3, 7));
    expect(info).toMatchObject({ epoch: 3, step: 7, globalStep: 37, config, images: 5, losses: [1] });
    expect(tensors['q.conv1.weight']).toEqual(tensor([3, Math.fround(0.1), -0], [3]));
    expect(tensors.queue_ptr).toEqual(tensor([3], [], 'int32'));
    expect(JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8'))).toEqual({
      file: 'checkpoint-0003-00007.safetensors',
      epoch: 3,
      step: 7,
      globalStep: 37,
    });
  });

  it('are ordered by epoch and step, and the newest are kept', async () => {
    const folder = temporaryFolder();
    for (const [epoch, step] of [
      [1, 0],
      [2, 0],
      [2, 90],
      [2, 100_000],
      [10, 0],
    ] as const)
      await save(folder, epoch, step);
    expect(await listCheckpoints(folder)).toEqual([
      checkpointName({ epoch: 10, step: 0, globalStep: 0 }),
      checkpointName({ epoch: 2, step: 100_000, globalStep: 0 }),
    ]);
  });

  it('fall back past a truncated one, which is set aside only when the run goes on', async () => {
    const folder = temporaryFolder();
    await save(folder, 1);
    const newest = await save(folder, 2);
    truncateSync(newest, statSync(newest).size - 1);
    expect(await opened(folder)).toEqual({ at: [1, 0], warnings: [expect.stringContaining('cut off')] });
    expect((await opened(folder, true)).at).toEqual([1, 0]);
    expect(readdirSync(folder)).toContain('checkpoint-0002.safetensors.damaged');
    expect(await opened(folder)).toEqual({ at: [1, 0], warnings: [] });
  });

  it('fall back past one with a flipped bit', async () => {
    const folder = temporaryFolder();
    await save(folder, 1);
    const newest = await save(folder, 2);
    const bytes = readFileSync(newest);
    bytes[bytes.length - 6]! ^= 1;
    writeFileSync(newest, bytes);
    expect(await opened(folder)).toEqual({ at: [1, 0], warnings: [expect.stringContaining('checksum')] });
  });

  it.each([
    ['a changed digit', '\\"epoch\\":2', '\\"epoch\\":7', true],
    ['settings that are no JSON', '\\"epoch\\":2', '\\"epoch\\":?', false],
    ['a position that is none', '\\"epoch\\":2', '\\"epohc\\":2', false],
  ])('fall back past one with %s', async (_, from, to, sealed) => {
    const folder = temporaryFolder();
    await save(folder, 1);
    const newest = await save(folder, 2);
    const text = readFileSync(newest, 'latin1').replace(from, to);
    // As version 0.1 wrote it: without a checksum of the settings.
    writeFileSync(newest, sealed ? text : text.replace('mocoCrc32', 'otherNote'), 'latin1');
    expect(await opened(folder)).toEqual({ at: [1, 0], warnings: [expect.stringContaining('settings')] });
  });

  it('ignore what a kill before the rename left', async () => {
    const folder = temporaryFolder();
    const path = await save(folder, 1);
    writeFileSync(join(folder, 'checkpoint-0002.safetensors.partial'), readFileSync(path).subarray(0, 500));
    expect(await opened(folder)).toEqual({ at: [1, 0], warnings: [] });
  });

  it('are refused when none is there, none intact, or of another program', async () => {
    const folder = temporaryFolder();
    await expect(opened(folder)).rejects.toThrow(new CheckpointError(`${folder} holds no checkpoint`));
    // Of a run that was killed before its first.
    writeFileSync(join(folder, 'config.json'), '{}');
    await expect(opened(folder)).rejects.toThrow(
      `${folder} holds no checkpoint: its run ended before the first one; the command that began it begins it again`,
    );
    await expect(opened(join(folder, 'no'))).rejects.toThrow('no such checkpoint or run folder');
    truncateSync(await save(folder, 1), 4);
    await expect(opened(folder)).rejects.toThrow('none of the 1 checkpoints');
    const other = join(folder, 'other.safetensors');
    writeFileSync(other, encodeSafetensors({ x: tensor([1], [1]) }));
    await expect(readCheckpoint(other)).rejects.toThrow(CheckpointError);
  });

  it('are read in parts, as those must be that are larger than one read may be', async () => {
    const folder = temporaryFolder();
    const path = await save(folder, 3, 7);
    const stored = await readCheckpoint(path);
    for (const atOnce of [1, 7, 64]) expect(await readCheckpoint(path, atOnce)).toEqual(stored);
    truncateSync(path, statSync(path).size - 1);
    await expect(readCheckpoint(path, 7)).rejects.toThrow(CheckpointError);
  });

  it('that are all damaged stay where they are, and are never begun anew over', async () => {
    const folder = temporaryFolder();
    for (const epoch of [1, 2]) truncateSync(await save(folder, epoch), 40);
    const before = readdirSync(folder);
    for (let time = 0; time < 2; time++)
      await expect(opened(folder, true)).rejects.toThrow('none of the 2 checkpoints');
    expect(readdirSync(folder)).toEqual(before);
    expect(await holdsRun(folder)).toBe(true);
    // As earlier versions left it.
    for (const name of await listCheckpoints(folder))
      renameSync(join(folder, name), join(folder, `${name}.damaged`));
    expect(await holdsRun(folder)).toBe(true);
    await expect(opened(folder)).rejects.toThrow('holds no checkpoint but damaged ones');
    expect(await holdsRun(temporaryFolder())).toBe(false);
  });

  it('that cannot be read now are not taken for damaged', async () => {
    const folder = temporaryFolder();
    await save(folder, 1);
    const blocked = join(folder, 'checkpoint-0002.safetensors');
    mkdirSync(blocked);
    const attempt = opened(folder, true);
    await expect(attempt).rejects.toThrow(`${blocked} could not be read: it is no file`);
    await expect(attempt).rejects.not.toThrow(CheckpointError);
    expect((await listCheckpoints(folder))[0]).toBe('checkpoint-0002.safetensors');
    // A folder that cannot be read is not an empty one.
    symlinkSync('loop', join(folder, 'loop'));
    await expect(listCheckpoints(join(folder, 'loop'))).rejects.toThrow('could not be read');
  });

  it('that have later ones beside them are no place to go on', async () => {
    const folder = temporaryFolder();
    const first = await save(folder, 1);
    const second = await save(folder, 2);
    await expect(checkNewest(first)).rejects.toThrow('goes on after checkpoint-0001.safetensors');
    await checkNewest(second);
  });

  it('that cannot be written leave the one before and say so', async () => {
    const folder = temporaryFolder();
    await save(folder, 1);
    const blocked = join(folder, 'checkpoint-0002.safetensors.partial');
    mkdirSync(blocked);
    await expect(save(folder, 2)).rejects.toThrow(
      /could not be written.*checkpoint-0001\.safetensors is intact/,
    );
    expect(await opened(folder)).toEqual({ at: [1, 0], warnings: [] });
  });
});
