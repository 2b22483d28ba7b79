import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseHTML } from 'linkedom';
import { beforeAll, describe, expect, it } from 'vitest';
import { moco, temporaryFolder, tiny, writeImages } from '../testing.ts';

const root = temporaryFolder();
const [images, run] = [join(root, 'images'), join(root, 'run')];

beforeAll(async () => {
  for (const [at, name] of ['a', 'b'].entries()) writeImages(join(images, name), 10, 10 * at);
  const flags = ['--epochs', '2', '--hold-out', '0.2', '--knn-every', '1', '--out', run];
  expect(await moco('pretrain', images, ...tiny, ...flags)).toMatchObject({ code: 0 });
});

async function report(...args: string[]) {
  const output = join(root, 'page.html');
  const result = await moco('report', ...args, '-o', output);
  const { document } = parseHTML(result.code === 0 ? readFileSync(output, 'utf8') : '<html></html>');
  const titles = (tag: string) => [...document.querySelectorAll(tag)].map(({ textContent }) => textContent);
  return { ...result, document, titles };
}

describe('the report of a run', () => {
  it('marks the steps in which the loss rose because the queue still held noise, and none otherwise', async () => {
    const log = join(run, 'log.jsonl');
    const before = readFileSync(log, 'utf8');
    // K / batch = 2 steps.
    const withLosses = (...losses: number[]) =>
      before.replaceAll(/"event":"step".*?"globalStep":([01]),.*?"loss":([^,]+)/g, (line, step, loss) =>
        line.replace(`"loss":${loss}`, `"loss":${losses[step]}`),
      );
    const noteOf = async (...losses: number[]) => {
      writeFileSync(log, withLosses(...losses));
      const { document } = await report(run);
      const figure = [...document.querySelectorAll('figure')].find(
        (one) => one.querySelector('h3')!.textContent === 'Loss',
      )!;
      return [figure.querySelector('figcaption')!.textContent, figure.querySelectorAll('rect').length];
    };
    expect(await noteOf(1, 2)).toEqual([
      expect.stringMatching(/Grey: up to step 2 the queue still holds noise/),
      1,
    ]);
    expect(await noteOf(2, 2)).toEqual([expect.not.stringMatching(/noise/), 0]);
    writeFileSync(log, before);
  });

  it('has the curves, views, neighbours, settings and the machine', async () => {
    const { code, err, document, titles } = await report(run);
    expect([code, err]).toEqual([0, '']);
    expect(titles('h2')).toEqual([
      'Curves',
      'What the network saw',
      'Nearest neighbours',
      'Settings',
      'Made by',
    ]);
    expect(titles('h3')).toEqual([
      ...['Loss', 'Contrastive accuracy', 'Features, by their nearest neighbours', 'Learning rate'],
      ...['Momentum of the key encoder', 'Feature std of the queries', 'Seconds of a step'],
    ]);
    // log(K + 1) with K = 16.
    expect(document.querySelector('svg')!.textContent).toContain('log(K + 1) = 2.83, a guess');
    const rows = [...document.querySelectorAll('table.images tbody tr')];
    // Eight images with two views, then eight with six neighbours.
    expect(rows.map((row) => row.querySelectorAll('img').length)).toEqual([
      ...Array(8).fill(3),
      ...Array(8).fill(7),
    ]);
    expect(document.toString()).toMatch(/<td>mocoK<\/td><td>16<\/td>.*<td>processor<\/td>/s);
    expect(
      [...document.querySelectorAll('svg[role=img]')].every((svg) => svg.getAttribute('aria-label')),
    ).toBe(true);
  });

  it('loads nothing', async () => {
    const { document } = await report(run);
    const sources = [...document.querySelectorAll('[src], link[href]')].map(
      (element) => element.getAttribute('src') ?? element.getAttribute('href')!,
    );
    expect(sources.filter((source) => !source.startsWith('data:'))).toEqual([]);
  });

  it('is made of what is there when checkpoint, record and half a line of the log are damaged', async () => {
    const copy = join(root, 'damaged');
    await moco('pretrain', images, ...tiny, '--epochs', '1', '--out', copy);
    writeFileSync(join(copy, 'checkpoint-0001.safetensors'), 'x');
    appendFileSync(join(copy, 'log.jsonl'), '{"event":"st');
    const { code, err, titles } = await report(copy);
    expect(code).toBe(0);
    expect(err).toMatch(
      /1 line could not be read.*\n.*checkpoint-0001.*\n.*is intact: the report has no neighbours\n$/,
    );
    expect(titles('h2')).toEqual(['Curves', 'What the network saw', 'Settings', 'Made by']);
    writeFileSync(join(copy, 'config.json'), '{');
    expect(await report(copy)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/moco: .* has neither a checkpoint nor a config.json that can be read\n$/),
    });
  });

  it('has no images where the data set is gone, and says so', async () => {
    const [gone, copy] = [join(root, 'gone'), join(root, 'without')];
    writeImages(gone, 10);
    await moco('pretrain', gone, ...tiny, '--epochs', '1', '--out', copy);
    rmSync(gone, { recursive: true });
    const { code, err, titles } = await report(copy);
    expect([code, err]).toEqual([0, expect.stringContaining('the report has no images')]);
    expect(titles('h2')).toEqual(['Curves', 'Images', 'Settings', 'Made by']);
  });

  it('of a folder that is none names what is missing', async () => {
    const { code, err } = await report(images);
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^moco: .*log\.jsonl could not be read.*name the folder of a run\n$/),
    ]);
  });
});

it('the report of a classifier has its accuracies', async () => {
  const probe = join(root, 'probe');
  const flags = ['--epochs', '2', '-b', '8', '-j', '0', '--hold-out', '0.2', '--out', probe];
  expect(await moco('lincls', run, images, ...flags)).toMatchObject({ code: 0 });
  const { code, titles, document } = await report(probe);
  expect(code).toBe(0);
  expect(titles('h3')).toEqual([
    'Accuracy on the test split',
    'Loss',
    'Accuracy in training',
    'Learning rate',
  ]);
  expect(document.querySelector('.figures')!.textContent).toMatch(/2 of 2epochs.*test Acc@1/);
});
