import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Backend,
  DivergedError,
  decodeSafetensors,
  type Encoder,
  encodeSafetensors,
  tensor,
} from '@moco-ts/core';
import { checksum, resolveConfig } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { imageFolder, logged, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { listCheckpoints } from './checkpoint.ts';
import { createKeeper } from './keeper.ts';

const images = imageFolder(24);
const fresh = () => join(temporaryFolder(), 'r');
const base = ['pretrain', images, ...tiny];
/** The one line of an error. */
const line = (text: RegExp) => expect.stringMatching(new RegExp(`^moco: [^\\n]*${text.source}[^\\n]*\\n$`));
const saved = (folder: string) =>
  (existsSync(folder) ? readdirSync(folder) : []).filter((name) => /safetensors/.test(name)).sort();

describe('a state that is not good', () => {
  it.each(['1e20', '1e38'])('is not saved behind the last step either (--lr %s)', async (lr) => {
    const folder = fresh();
    // One step, whose own loss is that of the untrained network.
    const ended = await moco(
      ...base,
      '-b',
      '24',
      '--moco-k',
      '48',
      '--epochs',
      '1',
      '--lr',
      lr,
      '--out',
      folder,
    );
    expect(ended).toMatchObject({
      code: 1,
      err: line(
        /not finite after step 1, and nothing is saved by it; no checkpoint was made before; try a lower --lr/,
      ),
    });
    expect(ended.out).not.toContain('Saved');
    expect(saved(folder)).toEqual([]);
    expect(logged(folder, 'diverged')).toHaveLength(1);
  });

  it('leaves the last good checkpoint, which goes on', async () => {
    const folder = fresh();
    await moco(...base, '--epochs', '9', '--max-steps', '3', '--out', folder);
    const ended = await moco('pretrain', '--resume', folder, '--lr', '1e30', '--save-every-steps', '1');
    expect(ended.code).toBe(1);
    const [name] = await listCheckpoints(folder);
    expect(ended.err).toContain(`the last good checkpoint is ${join(folder, name!)}`);
    const on = await moco('pretrain', '--resume', folder, '--lr', '0.01', '--max-steps', '6');
    expect(on).toMatchObject({ code: 0, err: '' });
  });
});

describe('a checkpoint whose next step diverges', () => {
  const lines: string[] = [];
  const log = { write: (event: string) => lines.push(event) };
  const configOf = (keep: number) =>
    resolveConfig({ data: 'photos', keep }, { source: { data: 'photos', split: 'train' } });
  const at = (epoch: number) => ({ epoch, step: 0, globalStep: 10 * epoch });
  const begin = (folder: string, keep = 1) => {
    const config = configOf(keep);
    const lock = { check: () => undefined, release: () => undefined };
    const keeper = createKeeper({
      ...{ folder, config, log, lock },
      backend: {} as Backend,
      encoder: {} as Encoder,
      from: undefined,
    });
    const save = (epoch: number, weight = epoch) =>
      keeper.save({ ...at(epoch), config, images: 5, losses: [] }, async () => ({
        w: tensor([weight], [1]),
      }));
    return { keeper, save };
  };

  it('is set aside, and the one before, which is kept until then, is the last good one', async () => {
    const folder = temporaryFolder();
    const { keeper, save } = begin(folder);
    await save(1);
    await keeper.passed(10);
    await save(2);
    expect(saved(folder)).toEqual(['checkpoint-0001.safetensors', 'checkpoint-0002.safetensors']);
    const { message } = await keeper.refuse(Number.NaN, at(2));
    expect(message).toContain(`${join(folder, 'checkpoint-0002.safetensors')} leads there, and is set aside`);
    expect(message).toContain(`the last good checkpoint is ${join(folder, 'checkpoint-0001.safetensors')};`);
    expect(saved(folder)).toEqual(['checkpoint-0001.safetensors', 'checkpoint-0002.safetensors.diverged']);
    const latest = JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8'));
    expect(latest).toEqual({ file: 'checkpoint-0001.safetensors', ...at(1) });
  });

  it('is told, and the newest intact one, where the one before is damaged', async () => {
    const folder = temporaryFolder();
    const { keeper, save } = begin(folder, 3);
    await save(1);
    await save(2);
    await save(3);
    const path = (epoch: number) => join(folder, `checkpoint-000${epoch}.safetensors`);
    writeFileSync(path(2), 'no checkpoint');
    const refused = await keeper.refuse(Number.NaN, at(3));
    expect(refused).toBeInstanceOf(DivergedError);
    expect(refused.message).toContain(`the last good checkpoint is ${path(1)};`);
    const latest = JSON.parse(readFileSync(join(folder, 'latest.json'), 'utf8'));
    expect(latest).toEqual({ file: 'checkpoint-0001.safetensors', ...at(1) });
  });

  it('is told where it can not be set aside', async () => {
    const folder = temporaryFolder();
    const { keeper, save } = begin(folder);
    await save(1);
    const path = join(folder, 'checkpoint-0001.safetensors');
    mkdirSync(join(`${path}.diverged`, 'full'), { recursive: true });
    const refused = await keeper.refuse(Number.NaN, at(1));
    expect(refused).toBeInstanceOf(DivergedError);
    expect(refused.message).toMatch(
      /the loss is NaN .*0001\.safetensors leads there at once, and could not be/,
    );
  });

  it('leaves none where it is the only one', async () => {
    const folder = temporaryFolder();
    const { keeper, save } = begin(folder);
    await save(1);
    expect((await keeper.refuse(Number.POSITIVE_INFINITY, at(1))).message).toContain('there is no other');
    expect(saved(folder)).toEqual(['checkpoint-0001.safetensors.diverged']);
  });

  it('is alone kept, with --keep 1, once a step has passed or the run has ended', async () => {
    const folder = temporaryFolder();
    const { keeper, save } = begin(folder);
    await save(1);
    await save(2);
    await keeper.passed(20);
    expect(saved(folder)).toEqual(['checkpoint-0002.safetensors']);
    expect((await keeper.refuse(Number.NaN, { ...at(2), globalStep: 21 })).message).toContain(
      `the last good checkpoint is ${join(folder, 'checkpoint-0002.safetensors')}`,
    );
    await save(3);
    await keeper.finish();
    expect(saved(folder)).toEqual(['checkpoint-0003.safetensors']);
  });

  it('is not saved with a value that is not finite, or a negative variance', async () => {
    const folder = temporaryFolder();
    const { keeper, save } = begin(folder);
    await save(1);
    await expect(save(2, Number.NaN)).rejects.toThrow(/"w" holds values that are not finite after step 20/);
    const state = async () => ({ 'q.bn1.running_var': tensor([1, -0.5], [2]) });
    const info = { ...at(2), config: configOf(1), images: 5, losses: [] };
    await expect(keeper.save(info, state)).rejects.toThrow(/negative variance/);
    expect(saved(folder)).toEqual(['checkpoint-0001.safetensors']);
  });

  it('is not called good by the run that goes on from it; the one before is named', async () => {
    const folder = fresh();
    await moco(...base, '--epochs', '2', '--out', folder);
    const [newest, before] = await listCheckpoints(folder);
    const path = join(folder, newest!);
    // Finite, with finite features: keys of infinite length in float32.
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
    tensors['k.fc.0.bias']!.data.fill(3e38);
    writeFileSync(path, encodeSafetensors(tensors, { ...metadata, crc32: checksum(tensors) }));
    const ended = await moco('pretrain', '--resume', folder, '--epochs', '3');
    const text = new RegExp(
      `the loss is NaN at epoch 2, step 0 .*${newest} leads there at once; the one before is .*${before}`,
    );
    expect(ended).toMatchObject({ code: 1, err: line(text) });
    expect(saved(folder)).toEqual([newest, before].sort());
  });
});

it('features that are not finite are refused by knn and embed, in one line, and leave nothing', async () => {
  const folder = fresh();
  await moco(...base, '--epochs', '1', '--out', folder);
  const path = join(folder, (await listCheckpoints(folder))[0]!);
  const { tensors, metadata } = decodeSafetensors(readFileSync(path), path);
  // Finite weights, under which sums overflow.
  for (const name of ['q.bn1.weight', 'q.layer1.0.conv1.weight']) tensors[name]!.data.fill(3e38);
  const diverged = join(temporaryFolder(), 'diverged.safetensors');
  writeFileSync(diverged, encodeSafetensors(tensors, { ...metadata, crc32: checksum(tensors) }));
  const out = join(temporaryFolder(), 'v.npy');
  for (const args of [
    ['knn', diverged, images],
    ['embed', diverged, images, '--out', out],
  ]) {
    const result = await moco(...args);
    expect(result).toMatchObject({ code: 1, out: '', err: line(/features of .* are not finite/) });
  }
  expect(readdirSync(join(out, '..'))).toEqual([]);
});
