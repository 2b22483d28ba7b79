/** Methods of plugins go the way of the built-in ones: flags, help, checks, training, resuming, measuring, report, export. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCheckpoint } from '../../../node/src/checkpoint.ts';
import { differences, imageFolder, logged, moco, temporaryFolder } from '../testing.ts';

const images = imageFolder(20);
const plugin = (name: string) => [
  '--plugin',
  fileURLToPath(new URL(`../../../../examples/method-${name}/index.ts`, import.meta.url)),
];
const small = [
  '-a',
  'resnet-tiny',
  '--image-size',
  '16',
  '-b',
  '8',
  '--moco-dim',
  '8',
  '-j',
  '0',
  '--threads',
  '1',
];
const methods = [
  {
    name: 'byol',
    own: ['--byol-hidden', '16', '--accumulate', '2'],
    stored: { byolHidden: 16, accumulate: 2 },
    ofHead: { byolHidden: 16, mocoDim: 8 },
    shown: '',
    elsewhere: '--byol-hidden means nothing to moco-v2; it belongs to byol',
  },
  {
    name: 'simsiam',
    own: ['--bottleneck', '4', '--moco-mlp-dim', '8'],
    stored: { bottleneck: 4, fixPredictorLr: true },
    ofHead: { bottleneck: 4, mocoMlpDim: 8, mocoDim: 8 },
    shown: 'Std 0.',
    elsewhere: '--moco-mlp-dim means nothing to moco-v2; it belongs to moco-v3, simsiam',
  },
];
const newest = (folder: string) =>
  join(
    folder,
    readdirSync(folder)
      .filter((file) => file.endsWith('.safetensors'))
      .sort()
      .at(-1)!,
  );

describe.each(methods)('$name', ({ name, own, stored, ofHead, shown, elsewhere }) => {
  const train = (folder: string, ...more: string[]) =>
    moco(
      ...[
        'pretrain',
        images,
        '--method',
        name,
        ...plugin(name),
        ...small,
        ...own,
        '-p',
        '1',
        '--epochs',
        '4',
      ],
      ...['--out', folder, ...more],
    );

  it('is trained, resumed to the bit, reported, measured and exported', async () => {
    const [once, parts] = [join(temporaryFolder(), 'whole'), join(temporaryFolder(), 'parts')];
    const trained = await train(once, '--max-steps', '5');
    expect(trained).toMatchObject({ code: 0, err: '' });
    expect(trained.out).not.toContain('Acc@');
    expect(trained.out).toContain(shown);
    const steps = logged(once, 'step');
    expect(steps).toHaveLength(5);
    expect(steps.every(({ loss, featureStd }) => Number.isFinite(loss) && Number.isFinite(featureStd))).toBe(
      true,
    );
    expect(Object.keys(steps[0]!)).not.toContain('acc1');
    const { config } = JSON.parse(readFileSync(join(once, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ method: name, ...stored });

    await train(parts, '--max-steps', '3');
    const goOn = ['pretrain', '--resume', parts, ...plugin(name), '--max-steps', '5'];
    expect(await moco(...goOn)).toMatchObject({ code: 0, err: '' });
    expect(differences(newest(parts), newest(once))).toEqual([]);
    const other = await moco(...goOn, own[0]!, '5');
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining(`but ${own[0]} asks for 5`) });

    expect(await moco('knn', once, ...plugin(name), '--baseline')).toMatchObject({ code: 0, err: '' });
    const page = join(temporaryFolder(), 'report.html');
    expect(await moco('report', once, ...plugin(name), '-o', page)).toMatchObject({ code: 0 });
    const html = readFileSync(page, 'utf8');
    expect(html).toContain(Object.keys(stored)[0]);
    expect(html).not.toContain('Contrastive accuracy');
    const model = join(temporaryFolder(), 'model.onnx');
    expect(await moco('export', once, ...plugin(name), '-o', model)).toMatchObject({ code: 0, err: '' });
    const head = await moco('export', once, ...plugin(name), '-o', model, '--with-head');
    expect(head).toMatchObject({ code: 0, out: expect.stringContaining('8 features') });

    // As a file of tensors it keeps its head, and what that depends on.
    const [file, again] = [join(temporaryFolder(), 'own.pth'), join(temporaryFolder(), 'again.safetensors')];
    const converted = await moco('convert', newest(once), ...plugin(name), '-o', file, '--with-head');
    expect(converted).toMatchObject({ code: 0, err: '' });
    expect(await moco('import', file, ...plugin(name), '-o', again)).toMatchObject({ code: 0, err: '' });
    const { info, tensors } = await readCheckpoint(again);
    // Who opens it without the plugin hears where its method came from.
    expect(info.config).toMatchObject({ method: name, plugin: [plugin(name)[1]], ...ofHead });
    const query = Object.entries((await readCheckpoint(newest(once))).tensors).filter(([key]) =>
      key.startsWith('q.'),
    );
    expect(query.some(([key]) => key.startsWith('q.fc.'))).toBe(true);
    expect(Object.keys(tensors).sort()).toEqual(query.map(([key]) => key).sort());
    for (const [key, { data }] of query) expect([...tensors[key]!.data], key).toEqual([...data]);
  });

  it('has flags of its own in the help, judged as all are', async () => {
    const { out } = await moco('pretrain', ...plugin(name), '--help');
    expect(out).toContain(own[0]);
    expect(out.replaceAll(/\s+/g, ' ')).toMatch(new RegExp(`moco-v1, [^:]*\\b${name}: sets head`));
    const refused: [string[], string][] = [
      [[own[0]!, '0'], 'Give a whole number from 1 to 16384'],
      [['--moco-t', '0.5'], `--moco-t means nothing to ${name}; it belongs to moco-v1, moco-v2`],
      [['--bn', 'shuffle'], '--bn shuffle permutes the keys of a queue'],
      [['--method', 'moco-v2'], elsewhere],
    ];
    for (const [flags, message] of refused) {
      const { code, err } = await train(join(temporaryFolder(), 'r'), ...flags);
      expect([code, err]).toEqual([1, expect.stringContaining(message)]);
    }
  });
});
