import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeSafetensors, encodeSafetensors } from '@moco-ts/core';
import { checksum } from '@moco-ts/run';
import { beforeAll, describe, expect, it } from 'vitest';
import { listCheckpoints } from '../../../node/src/checkpoint.ts';
import { accuracy } from '../../../node/src/classify-data.ts';
import { faultOf } from '../../../node/src/finite.ts';
import { openEncoder } from '../../../node/src/foreign.ts';
import { differences, imageFolder, logged, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const images = temporaryFolder();
writeImages(join(images, 'train', 'first'), 12);
writeImages(join(images, 'train', 'second'), 12, 100);
writeImages(join(images, 'test', 'first'), 4, 200);
writeImages(join(images, 'test', 'second'), 4, 300);
const run = join(temporaryFolder(), 'run');
const small = ['-b', '8', '-j', '0', '--threads', '1', '-p', '1'];

const read = (path: string) => decodeSafetensors(readFileSync(path), path);
const infoOf = (path: string) => JSON.parse(read(path).metadata.classifier!);

beforeAll(async () => {
  const made = await moco('pretrain', images, ...tiny, '--epochs', '1', '--out', run);
  expect(made).toMatchObject({ code: 0, err: '' });
});

describe('the linear probe', () => {
  const folder = join(temporaryFolder(), 'probe');
  const best = join(folder, 'best.safetensors');

  it('has the official defaults, and trains the classifier alone', async () => {
    const probe = await moco('lincls', run, ...small, '--epochs', '3', '--out', folder);
    expect(probe).toMatchObject({ code: 0 });
    const { info, tensors } = { info: infoOf(best), tensors: read(best).tensors };
    expect(info.recipe).toMatchObject({ train: 'linear', lr: 30, wd: 0, momentum: 0.9, schedule: [60, 80] });
    expect(info.recipe).toMatchObject({ cos: false, batchSize: 8, epochs: 3 });
    const source = read(join(run, (await listCheckpoints(run))[0]!)).tensors;
    const backbone = Object.keys(source).filter((name) => /^q\.(?!fc\.)/.test(name));
    expect(backbone.length).toBeGreaterThan(40);
    const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
      Buffer.from(buffer, byteOffset, byteLength);
    const changed = backbone.filter((name) => !bytes(tensors[name]!.data).equals(bytes(source[name]!.data)));
    expect(changed).toEqual([]);
    expect(tensors['q.fc.weight']!.shape).toEqual([2, 256]);
    expect(logged(folder, 'validation')).toHaveLength(3);
  });

  // Flags and figures of the official main_lincls.py of MoCo v3 and its README (--lr=3 for ViTs).
  it.each([
    [
      'moco-v3',
      ['-b', '8'],
      { epochs: 90, batchSize: 8, lr: (0.1 * 8) / 256, wd: 0, momentum: 0.9, cos: true },
    ],
    // For 24 images a batch of 8, as of any default that is larger than the set; .4 x 8 / 1024 to three digits.
    ['moco-v3', [], { batchSize: 8, lr: 0.00313 }],
    ['moco-v3', ['-b', '8', '--lr', '2', '--no-cos'], { lr: 2, cos: false }],
    ['moco-v1', ['-b', '8'], { epochs: 100, lr: 30, schedule: [60, 80], cos: false }],
  ])('has the preset %s with %j', async (preset, flags, recipe) => {
    const out = join(temporaryFolder(), 'probe');
    const args = [
      '-j',
      '0',
      '--threads',
      '1',
      '--preset',
      preset,
      '--cache-features',
      ...flags,
      '--out',
      out,
    ];
    const { code } = await moco('lincls', run, ...args);
    expect(code).toBe(0);
    expect(infoOf(join(out, 'latest.safetensors')).recipe).toMatchObject(recipe);
  });

  it("of a ViT begins at MoCo v3's rate for transformers", async () => {
    const vit = join(temporaryFolder(), 'vit');
    const flags = ['--method', 'moco-v3', '-a', 'vit_tiny', '--image-size', '16', '-b', '4', '-j', '0'];
    const made = await moco('pretrain', images, ...flags, '--max-steps', '1', '--out', vit);
    expect(made).toMatchObject({ code: 0 });
    const out = join(temporaryFolder(), 'probe');
    const args = [...small, '--preset', 'moco-v3', '--cache-features', '--epochs', '1', '--out', out];
    expect(await moco('lincls', vit, ...args)).toMatchObject({ code: 0 });
    expect(infoOf(join(out, 'latest.safetensors')).recipe.lr).toBe((3 * 8) / 256);
  });

  it('takes the encoder by the official flag, and then data first', async () => {
    const out = join(temporaryFolder(), 'probe');
    const args = ['lincls', images, '--pretrained', run, ...small, '--epochs', '1', '--out', out];
    expect(await moco(...args)).toMatchObject({ code: 0 });
    expect(infoOf(join(out, 'best.safetensors'))).toMatchObject({
      recipe: { data: images },
      encoder: join(run, (await listCheckpoints(run))[0]!),
    });
    const many = await moco('lincls', 'a', 'b', '--pretrained', run);
    expect([many.code, many.err]).toEqual([1, expect.stringMatching(/DATA alone: leave a or b out/)]);
    const none = await moco('lincls');
    expect([none.code, none.err]).toEqual([1, expect.stringMatching(/needs RUN: .* --pretrained FILE/)]);
  });

  it('has the accuracies of batches and of the test split in series of their own for TensorBoard', () => {
    const events = readdirSync(folder).find((name) => name.startsWith('events.out.tfevents'))!;
    const text = readFileSync(join(folder, events), 'latin1');
    // A tag stands behind its field's number, 1, and its length.
    const tag = (name: string) => `\n${String.fromCharCode(name.length)}${name}`;
    for (const name of ['train/loss', 'train/acc1', 'train/acc5', 'lr', 'test/acc1', 'test/acc5'])
      expect(text.includes(tag(name)), name).toBe(true);
    for (const name of ['loss', 'acc1', 'acc5']) expect(text.includes(tag(name)), name).toBe(false);
  });

  it('is measured again by -e, to the same figure', async () => {
    const { acc1 } = infoOf(best);
    const again = await moco('lincls', best, '-e', ...small);
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining(`Acc@1 ${acc1.toFixed(2)} %`) });
  });

  it('goes on to the bit, and only with the same flags', async () => {
    const [once, parts] = [join(temporaryFolder(), 'a'), join(temporaryFolder(), 'b')];
    await moco('lincls', run, ...small, '--epochs', '4', '--out', once);
    await moco('lincls', run, ...small, '--epochs', '2', '--out', parts);
    expect((await moco('lincls', run, ...small, '--epochs', '4', '--out', parts)).err).toContain('--resume');
    const other = await moco('lincls', run, ...small, '--lr', '3', '--out', parts, '--resume');
    expect(other.err).toContain('was trained with lr 30');
    await moco('lincls', run, ...small, '--epochs', '4', '--out', parts, '--resume');
    const last = (folder: string) => join(folder, 'latest.safetensors');
    expect(differences(last(once), last(parts))).toEqual([]);
  });

  it('takes features from memory when asked, says what differs, and keeps the encoder beside the classifier', async () => {
    const cached = join(temporaryFolder(), 'c');
    const { code, out } = await moco(
      'lincls',
      run,
      ...small,
      '--epochs',
      '2',
      '--cache-features',
      '--out',
      cached,
    );
    expect([code, out]).toEqual([0, expect.stringContaining('without random crops')]);
    const path = join(cached, 'best.safetensors');
    expect(Object.keys(read(path).tensors)).toContain('q.conv1.weight');
    const again = await moco('lincls', path, '-e', ...small);
    expect(again.out).toContain(`Acc@1 ${infoOf(path).acc1.toFixed(2)} %`);
  });
});

it('a classifier is exported as a model that gives logits, with the names of the classes', async () => {
  const folder = join(temporaryFolder(), 'p');
  await moco('lincls', run, ...small, '--epochs', '1', '--out', folder);
  const model = join(temporaryFolder(), 'm.onnx');
  const made = await moco('export', join(folder, 'latest.safetensors'), '-o', model, '--with-classifier');
  expect(made).toMatchObject({ code: 0, out: expect.stringContaining('2 classes') });
  const bytes = readFileSync(model);
  for (const text of ['logits', '["first","second"]']) expect(bytes.includes(text), text).toBe(true);
  const both = await moco(
    'export',
    join(folder, 'latest.safetensors'),
    '-o',
    model,
    '--with-classifier',
    '--with-head',
  );
  expect(both.err).toContain('has no contrastive head');
});

it('a classifier is an encoder to every command, by its file or its folder', async () => {
  const folder = join(temporaryFolder(), 'p');
  await moco('lincls', run, ...small, '--epochs', '1', '--out', folder);
  const own = (path: string) => openEncoder(path, (text) => expect(text).toBe(''));
  const wanted = await own(run);
  for (const path of [join(folder, 'best.safetensors'), folder]) {
    const { info, tensors } = await own(path);
    expect(info.config).toEqual(wanted.info.config);
    // A probe leaves the encoder as it is; its classifier is no part of it, and the run's head is not in the file.
    const body = Object.entries(wanted.tensors).filter(([name]) => /^q\.(?!fc\.)/.test(name));
    expect(checksum(tensors)).toBe(checksum(Object.fromEntries(body)));
    expect(Object.keys(tensors)).toHaveLength(body.length);
  }
  const tuned = join(temporaryFolder(), 't');
  await moco('finetune', run, ...small, '--epochs', '1', '-b', '8', '--out', tuned);
  const best = join(tuned, 'best.safetensors');
  expect(await moco('knn', best, '-j', '0', '--threads', '1')).toMatchObject({ code: 0, err: '' });
  const again = checksum((await own(tuned)).tensors);
  expect(again).not.toBe(checksum((await own(folder)).tensors));
  const converted = join(tuned, 'c.pth');
  expect(await moco('convert', best, '-o', converted)).toMatchObject({ code: 0, err: '' });
  expect(checksum((await own(converted)).tensors)).toBe(again);
});

describe('what is not finite', () => {
  it('counts as wrong in every measure, as does a label that is no class', () => {
    const { NaN: none, POSITIVE_INFINITY: most, NEGATIVE_INFINITY: least } = Number;
    const rows = [none, none, none, most, 0, 0, 3, least, 0, 3, 1, 0, 3, 1, 0, 3, 1, 0];
    // Only the fourth row has finite logits and a label among the three classes.
    const labels = Int32Array.of(0, 0, 0, 0, 3, -1);
    expect(accuracy(Float32Array.from(rows), labels, 3)).toEqual({ acc1: 100 / 6, acc5: 100 / 6 });
  });

  it.each([
    // One step: its loss is that of the start, and the weights behind it are out of range.
    ['finetune', '1'],
    // Its weights grow by less than 1e38 a step.
    ['lincls', '20'],
  ])('is refused by %s, which saves nothing by it', async (command, epochs) => {
    const folder = join(temporaryFolder(), 'f');
    const flags = [...small, '-b', '24', '--epochs', epochs, '--lr', '1e38', '--out', folder];
    const diverged = await moco(command, run, ...flags);
    const line = /^moco: .*(not finite|the loss is (NaN|Infinity)).*diverged.*lower --lr.*\n$/;
    expect(diverged).toMatchObject({ code: 1, err: expect.stringMatching(line) });
    expect(logged(folder, 'diverged')).toHaveLength(1);
    const saved = readdirSync(folder).filter((name) => name.includes('safetensors'));
    expect(saved).toHaveLength(command === 'finetune' ? 0 : 2);
    for (const name of saved) expect(faultOf(read(join(folder, name)).tensors)).toBeUndefined();
  });

  it('is refused by -e', async () => {
    const folder = join(temporaryFolder(), 'p');
    await moco('lincls', run, ...small, '--epochs', '1', '--out', folder);
    const best = join(folder, 'best.safetensors');
    const { tensors, metadata } = read(best);
    tensors['q.fc.bias']!.data.fill(Number.NaN);
    writeFileSync(best, encodeSafetensors(tensors, { ...metadata, crc32: checksum(tensors) }));
    const again = await moco('lincls', best, '-e', ...small);
    expect(again).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('8 of 8 images are not finite'),
    });
  });
});

describe('fine-tuning', () => {
  it('trains all layers, from the run or from its untrained network', async () => {
    const starts: Float32Array[] = [];
    for (const more of [[], ['--random']]) {
      const folder = join(temporaryFolder(), 'f');
      const tuned = await moco(
        'finetune',
        run,
        ...small,
        '--epochs',
        '1',
        '--lr',
        '0.001',
        '--out',
        folder,
        ...more,
      );
      expect(tuned).toMatchObject({ code: 0, err: '' });
      const path = join(folder, 'latest.safetensors');
      expect(infoOf(path)).toMatchObject({ recipe: { train: 'all', cos: true } });
      starts.push(read(path).tensors['q.conv1.weight']!.data as Float32Array);
    }
    const source = read(join(run, (await listCheckpoints(run))[0]!)).tensors['q.conv1.weight']!;
    expect(starts[0]).not.toEqual(source.data);
    expect(starts[1]).not.toEqual(starts[0]);
  });
});

describe('bad input', () => {
  it('is one line', async () => {
    const unlabelled = imageFolder(12);
    const file = join(temporaryFolder(), 'x.safetensors');
    writeFileSync(file, 'nothing');
    const table: [string[], string][] = [
      [['lincls', run, unlabelled, ...small], 'has no labels'],
      [['lincls', run, '-e'], 'is no file'],
      [['lincls', join(run, (await listCheckpoints(run))[0]!), '-e'], 'holds no classifier'],
      [['lincls', file], 'x.safetensors'],
      [['finetune', run, ...small, '-b', '512'], '--batch-size 512 is larger'],
    ];
    for (const [args, message] of table) {
      const { code, err } = await moco(...args, '--out', join(temporaryFolder(), 'o'));
      expect([code, err.trim().split('\n').length, err]).toEqual([1, 1, expect.stringContaining(message)]);
    }
  });
});

it('top-1 accuracy counts a label only if no other logit is as large', () => {
  const logits = Float32Array.from([3, 1, 2, 0, 1, 1, 0, 0, 5, 4, 3, 2]);
  expect(accuracy(logits, Int32Array.from([0, 1, 3]), 4)).toEqual({ acc1: 100 / 3, acc5: 100 });
  expect(accuracy(Float32Array.from([1, 2, 3, 4, 5, 6]), Int32Array.from([0]), 6)).toEqual({
    acc1: 0,
    acc5: 0,
  });
});
