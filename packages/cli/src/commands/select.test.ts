/** A run that chooses its best checkpoint: what it is chosen by, what is kept, and what uses it. */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { openDataset } from '@moco-ts/data';
import { readBest, readCheckpoint } from '@moco-ts/node';
import { beforeAll, describe, expect, it } from 'vitest';
import { differences, imageFolder, logged, moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const images = imageFolder(40);
const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const base = [...tiny, '--measure-every', '1', '--epochs', '4', '--keep', '4'];
const choosing = [images, ...base, '--select', 'retrieval'];
const run = at('run');
const file = (epoch: number) => `checkpoint-000${epoch}.safetensors`;
const checkpoints = (of: string) =>
  readdirSync(of)
    .filter((name) => name.endsWith('.safetensors'))
    .sort();
/** Epochs, and what was measured after them. */
const measured = (of: string, field: string) =>
  logged(of, 'evaluation').map((line) => [Number(line.epoch), Number(line[field])] as const);
/** The latest of the best. */
function bestOf(values: readonly (readonly [number, number])[], sign = 1) {
  const top = Math.max(...values.map(([, value]) => sign * value));
  return values.findLast(([, value]) => sign * value === top)!;
}
/** A copy of a run, whose checkpoint after an epoch measured more than any other will. */
function withBest(epoch: number, name: string, from = run): string {
  cpSync(from, at(name), { recursive: true });
  const path = join(at(name), 'best.json');
  const { by, candidates } = JSON.parse(readFileSync(path, 'utf8'));
  for (const candidate of candidates) if (candidate.epoch === epoch) candidate.value = 101;
  writeFileSync(path, JSON.stringify({ by, candidates }));
  return at(name);
}
let told = '';
/** The run after two of its epochs. */
const half = at('half');

beforeAll(async () => {
  const { code, out } = await moco('pretrain', ...choosing, '--out', run);
  expect(code).toBe(0);
  told = out;
  const steps = String(logged(run, 'epoch')[1]!.globalStep);
  expect((await moco('pretrain', ...choosing, '--max-steps', steps, '--out', half)).code).toBe(0);
});

describe('a run with --select', () => {
  it('names the best of what it measured', async () => {
    const values = measured(run, 'editedCopies');
    const [epoch, value] = bestOf(values);
    const best = (await readBest(run))!;
    expect(best).toMatchObject({ by: 'retrieval', file: file(epoch), best: { epoch, value } });
    expect(best.candidates.map((candidate) => [candidate.epoch, candidate.value])).toEqual(values);
    expect(told).toContain(`Best: ${join(run, file(epoch))}, edited copies, R@1 ${value.toFixed(2)} %`);
    // The measure is that of the checkpoint.
    expect((await moco('knn', join(run, file(epoch)))).out).toContain(` ${value.toFixed(2)} %`);
  });

  it('keeps the best beside the last, whatever --keep says', async () => {
    const other = withBest(1, 'kept', half);
    expect((await moco('pretrain', '--resume', other, '--keep', '1')).code).toBe(0);
    expect(checkpoints(other)).toEqual([file(1), file(4)]);
    expect(await readBest(other)).toMatchObject({ best: { epoch: 1 }, waited: 3 });
  });

  it('does not train on the images that it is chosen by, where there is no test split', async () => {
    const { info } = await readCheckpoint(join(run, file(4)));
    // The rule of --hold-out, which the run stores, so that it and moco knn have the same images again.
    expect(info.config).toMatchObject({ holdOut: 0.2, select: 'retrieval' });
    const [rest, test] = await Promise.all(
      (['train', 'test'] as const).map((split) => openDataset(images, { holdOut: 0.2, split })),
    );
    expect(info.images).toBe(rest!.length);
    expect(told).toContain(`${test!.length} of 40 images are not trained on, to choose the best`);
    expect(logged(run, 'evaluation')[0]).toMatchObject({ images: test!.length });
  });

  it('tells of it in the log, in TensorBoard, in moco info and in the report', async () => {
    const { best } = (await readBest(run))!;
    const marked = logged(run, 'evaluation').filter((line) => line.best === true);
    expect(marked.at(-1)!.epoch).toBe(best.epoch);
    const events = readdirSync(run).find((name) => name.includes('tfevents'))!;
    expect(readFileSync(join(run, events), 'latin1')).toContain('best/retrieval');
    const other = withBest(2, 'told');
    expect(JSON.parse((await moco('info', other, '--json')).out)).toMatchObject({
      epoch: 4,
      chosen: { file: file(2), epoch: 2, by: 'retrieval' },
      settings: { select: 'retrieval', measureEvery: 1 },
    });
    expect((await moco('info', other)).out).toContain(`  chosen    ${file(2)}: edited copies, R@1 101.00 %`);
    await moco('report', other, '-o', at('page.html'));
    const page = readFileSync(at('page.html'), 'utf8');
    expect(page).toContain('<b>2</b>epoch of the best checkpoint');
    expect(page).toContain('>best</text>');
    expect(page).toContain(`By the features of ${join(other, file(2))}`);
  });

  it('keeps the one with the least loss by --select loss, and trains on all images', async () => {
    const other = at('loss');
    expect(await moco('pretrain', images, ...base, '--select', 'loss', '--out', other)).toMatchObject({
      code: 0,
    });
    const losses = logged(other, 'epoch').map((line) => [Number(line.epoch) + 1, Number(line.loss)] as const);
    const [epoch, value] = bestOf(losses, -1);
    expect(await readBest(other)).toMatchObject({ by: 'loss', best: { epoch, value } });
    const { info } = await readCheckpoint(join(other, file(4)));
    expect(info.images).toBe(40);
    expect(info.config.holdOut).toBeUndefined();
  });

  it('keeps the one with the best kNN accuracy by --select knn; by retrieval it looks at no label', async () => {
    const labelled = at('labelled');
    for (const part of ['train/a', 'train/b', 'test/a', 'test/b'])
      writeImages(join(labelled, part), 10, part.endsWith('a') ? 0 : 20);
    const byKnn = at('knn');
    await moco('pretrain', labelled, ...base, '--select', 'knn', '--out', byKnn);
    const [epoch, value] = bestOf(measured(byKnn, 'knn'));
    expect(await readBest(byKnn)).toMatchObject({ by: 'knn', best: { epoch, value } });
    // With a test split nothing is held out.
    expect((await readCheckpoint(join(byKnn, file(4)))).info.images).toBe(20);
    const unseen = at('unseen');
    await moco('pretrain', labelled, ...base, '--select', 'retrieval', '--epochs', '1', '--out', unseen);
    const [first] = logged(unseen, 'evaluation');
    expect(first).toMatchObject({ editedCopies: expect.any(Number), images: 20 });
    expect(first).not.toHaveProperty('knn');
  });

  it('measures twenty times where nothing else is said', async () => {
    const { out } = await moco('info', run, '--json');
    expect(JSON.parse(out).settings.measureEvery).toBe(1);
    const other = at('often');
    const flags = [...tiny, '--epochs', '2', '--select', 'loss', '--max-steps', '1', '--out', other];
    await moco('pretrain', images, ...flags);
    expect(JSON.parse((await moco('info', other, '--json')).out).settings).toMatchObject({ select: 'loss' });
    const { config } = JSON.parse(readFileSync(join(other, 'config.json'), 'utf8'));
    expect(config.measureEvery).toBe(0.05);
  });

  it('of so few images that the rule holds out none goes on with the same ones', async () => {
    // By the hash of the rule, each of these names is above a fifth.
    const few = at('few-images');
    mkdirSync(few);
    for (const name of [3, 4, 5, 6].map((i) => `p00${i}.png`))
      copyFileSync(join(images, name), join(few, name));
    const other = at('few');
    const flags = ['--select', 'retrieval', '-b', '2', '--bn-splits', '1', '--moco-k', '4', '--out', other];
    expect((await moco('pretrain', few, ...base, ...flags, '--max-steps', '1')).code).toBe(0);
    expect(await moco('pretrain', '--resume', other)).toMatchObject({ code: 0 });
    const { info } = await readCheckpoint(join(other, file(4)));
    expect([info.images, info.config.holdOut]).toEqual([3, undefined]);
  });

  it.each([
    [['--select', 'knn'], /--select knn needs class folders or labels, which .* has not/],
    [['--patience', '3'], /--patience 3 waits for a better checkpoint: say by --select/],
    [['--select', 'loss', '--measure-every', '0'], /--select loss chooses by what is measured/],
  ])('is refused in one line with %j', async (flags, message) => {
    const { code, err } = await moco('pretrain', images, ...base, ...flags, '--out', at('refused'));
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^moco: [^\\n]*${message.source}.*\\n$`)),
    ]);
    expect(existsSync(at('refused'))).toBe(false);
  });

  it('can not begin in the middle, when images have been trained on', async () => {
    const { code, err } = await moco('pretrain', '--resume', run, '--select', 'loss');
    expect([code, err]).toEqual([1, expect.stringContaining('has retrieval, but --select asks for loss')]);
  });
});

describe('a run that goes on', () => {
  const withoutLogged = (other: string) => {
    const log = join(other, 'log.jsonl');
    const lines = readFileSync(log, 'utf8').split('\n');
    const start = '{"event":"evaluation","epoch":2,';
    expect(lines.some((line) => line.startsWith(start))).toBe(true);
    writeFileSync(log, lines.filter((line) => !line.startsWith(start)).join('\n'));
  };

  it.each<[string, (folder: string) => void]>([
    ['was stopped', () => undefined],
    [
      'was killed between a checkpoint and its evaluation',
      (other) => {
        withoutLogged(other);
        const path = join(other, 'best.json');
        const { by, candidates } = JSON.parse(readFileSync(path, 'utf8'));
        writeFileSync(path, JSON.stringify({ by, candidates: candidates.slice(0, 1) }));
      },
    ],
    ['was killed between the record of the best and the log', withoutLogged],
  ])('has the same best checkpoint, where it %s', async (name, change) => {
    const other = at(name.replaceAll(' ', '-'));
    cpSync(half, other, { recursive: true });
    change(other);
    expect((await moco('pretrain', '--resume', other)).code).toBe(0);
    expect(readFileSync(join(other, 'best.json'), 'utf8')).toBe(readFileSync(join(run, 'best.json'), 'utf8'));
    expect(differences(join(run, file(4)), join(other, file(4)))).toEqual([]);
    expect(measured(other, 'editedCopies')).toEqual(measured(run, 'editedCopies'));
  });

  it('has its least loss, where it was killed before the evaluation', async () => {
    const other = at('loss-killed');
    const flags = [...base, '--select', 'loss', '--max-steps', '10', '--out', other];
    await moco('pretrain', images, ...flags);
    const before = await readBest(other);
    expect(before!.candidates).toHaveLength(2);
    withoutLogged(other);
    writeFileSync(join(other, 'best.json'), '');
    await moco('pretrain', '--resume', other, '--max-steps', '10');
    expect((await readBest(other))!.candidates).toEqual(before!.candidates.slice(1));
  });

  it('takes the newest checkpoint, not the best', async () => {
    const { out } = await moco('pretrain', '--resume', withBest(1, 'newest'));
    expect(out).toContain('(from epoch 4, step 0)');
  });
});

it('--patience ends a run after so many evaluations without a better checkpoint', async () => {
  const other = withBest(1, 'patience', half);
  const { code, out } = await moco('pretrain', '--resume', other, '--patience', '2');
  expect(code).toBe(0);
  expect(out).toContain('No better checkpoint in 2 evaluations: the run ends.\n');
  expect(out).toContain('Next: moco knn');
  expect(checkpoints(other)).toEqual([1, 2, 3].map(file));
  expect(logged(other, 'early')).toHaveLength(1);
  // Its patience has not come back.
  expect((await moco('pretrain', '--resume', other)).out).toContain('No better checkpoint in 2 evaluations');
  expect(checkpoints(other)).toEqual([1, 2, 3].map(file));
  expect((await moco('pretrain', '--resume', other, '--patience', '4')).code).toBe(0);
  expect(checkpoints(other)).toEqual([1, 2, 3, 4].map(file));
});

describe('what uses a run', () => {
  it('takes its best checkpoint, and says so', async () => {
    const other = withBest(2, 'used');
    const best = join(other, file(2));
    const note = `moco: note: ${best} is the run's best of 4 (edited copies, R@1 101.00 % after epoch 2); its newest is ${file(4)}\n`;
    expect(await moco('convert', other, '-o', at('run.safetensors'))).toMatchObject({ code: 0, err: note });
    expect((await moco('convert', best, '-o', at('file.safetensors'))).err).toBe('');
    expect(differences(at('run.safetensors'), at('file.safetensors'))).toEqual([]);
    const knn = await moco('knn', other);
    expect([knn.err, knn.out]).toEqual([note, expect.stringContaining(`${best}\n`)]);
    for (const args of [
      ['embed', other, images, '--out', at('vectors.npy')],
      ['export', other, '-o', at('model.onnx')],
    ])
      expect(await moco(...args)).toMatchObject({ code: 0, err: note });
    const init = ['--init', other, '--max-steps', '1', '--out', at('begun')];
    const { out } = await moco('pretrain', images, ...base, ...init);
    expect(out).toContain(`From ${best}: `);
    expect(out).toContain(note.replace('moco: note: ', ''));
  });

  it('takes the newest where the best is damaged; where it is the newest nothing is said', async () => {
    const other = withBest(2, 'damaged');
    const bytes = readFileSync(join(other, file(2)));
    bytes[bytes.length - 6]! ^= 1;
    writeFileSync(join(other, file(2)), bytes);
    const { out, err } = await moco('convert', other, '-o', at('newest.safetensors'));
    expect([out, err]).toEqual([
      expect.stringContaining('resnet-tiny'),
      expect.stringMatching(/is damaged.*; taking the newest instead\n$/),
    ]);
    const init = ['--init', other, '--max-steps', '1', '--out', at('begun-damaged')];
    expect((await moco('pretrain', images, ...base, ...init)).err).toMatch(
      /^moco: warning: [^\n]* is damaged[^\n]*; taking the newest instead\n$/,
    );
    await moco('convert', join(run, file(4)), '-o', at('last.safetensors'));
    expect(differences(at('newest.safetensors'), at('last.safetensors'))).toEqual([]);
    const [whole, single] = [withBest(2, 'whole'), at('single')];
    mkdirSync(single);
    for (const name of [file(2), 'best.json']) copyFileSync(join(whole, name), join(single, name));
    expect(await moco('convert', single, '-o', at('single.safetensors'))).toMatchObject({ code: 0, err: '' });
  });
});
