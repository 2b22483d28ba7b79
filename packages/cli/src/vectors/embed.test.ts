import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createExtractor, decodeSafetensors, under, unitRows } from '@moco-ts/core';
import { createPool, loadEval, openDataset } from '@moco-ts/data';
import { modelConfig } from '@moco-ts/run';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../node/src/checkpoint.ts';
import { openBackend } from '../../../node/src/open-backend.ts';
import { imageFolder, moco, png, temporaryFolder, tiny } from '../testing.ts';
import { openVectors } from './file.ts';

const folder = temporaryFolder();
const images = imageFolder(150);
const run = join(folder, 'run');
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  mkdirSync(join(images, 'deeper'));
  writeFileSync(join(images, 'deeper', 'q.png'), png(999, 5));
  const { code, err } = await moco(
    'pretrain',
    images,
    '--out',
    run,
    ...tiny,
    '--epochs',
    '1',
    '--knn-every',
    '0',
  );
  expect([code, err]).toEqual([0, expect.anything()]);
});

/** Features as `moco knn` has them. */
async function features(withHead: boolean): Promise<Float32Array> {
  const { info, tensors } = await openCheckpoint(run, () => {});
  const { imageSize: size, mean, std } = info.config;
  const backend = await openBackend('ort');
  const extractor = await createExtractor(
    backend,
    modelConfig(info.config, withHead),
    under('q', tensors),
    64,
  );
  const parts: number[] = [];
  for await (const { data } of loadEval(await openDataset(images), {
    size,
    mean,
    std,
    pool: createPool(0),
  }))
    parts.push(...(await extractor.extract(data)));
  await extractor.dispose();
  await backend.dispose();
  return Float32Array.from(parts);
}

interface Row {
  readonly tokens: ArrayLike<number> & Iterable<number>;
}

/** A file of float32 as NumPy reads it. */
function npyOf(path: string): { shape: number[]; values: number[] } {
  const bytes = readFileSync(path);
  const shape = /'shape': \(([^)]*)\)/
    .exec(bytes.toString('latin1', 0, 128))![1]!
    .split(',')
    .map(Number);
  return { shape, values: [...new Float32Array(new Uint8Array(bytes.subarray(128)).buffer)] };
}

describe('moco embed', () => {
  it("writes knn's features with paths as ids: of length 1, raw, or of the head", async () => {
    const ids = [...Array.from({ length: 150 }, (_, i) => `p${String(i).padStart(3, '0')}.png`)];
    const expected = await features(false);
    const dim = expected.length / 151;
    for (const [output, flags, wanted] of [
      ['unit.parquet', [], unitRows(expected, dim)],
      ['raw.npy', ['--raw'], expected],
      ['head.npy', ['--with-head'], await features(true)],
    ] as const) {
      const { code, out } = await moco('embed', run, images, '--out', at(output), ...flags);
      expect(code).toBe(0);
      expect(out).toContain(`${output}: 151 vectors of ${wanted.length / 151} values`);
      const file = await openVectors(at(output));
      expect(await file.ids()).toEqual(['deeper/q.png', ...ids]);
      const vectors = await file.vectors();
      if (output === 'head.npy')
        vectors.forEach((x, i) => {
          expect(x).toBeCloseTo(wanted[i]!, 6);
        });
      else expect(vectors).toEqual(wanted);
      expect(file.info).toMatchObject({ model: run, unit: output !== 'raw.npy', data: { data: images } });
      expect(existsSync(`${at(output)}.partial`)).toBe(false);
    }
  });

  it.each(['npy', 'parquet'])('goes on after a crash at any place, to the same %s', async (format) => {
    const once = at(`whole.${format}`);
    await moco('embed', run, images, '--out', once);
    const output = at(`crashed.${format}`);
    const again = async (left: (partial: string) => void) => {
      rmSync(output, { force: true });
      cpSync(at('left'), `${output}.partial`, { recursive: true });
      left(`${output}.partial`);
      const { code, err } = await moco('embed', run, images, '--out', output);
      expect(code).toBe(0);
      expect(readFileSync(output).equals(readFileSync(once))).toBe(true);
      if (format === 'npy')
        expect(readFileSync(output.replace('.npy', '.ids.json'))).toEqual(
          readFileSync(once.replace('.npy', '.ids.json')),
        );
      return err;
    };
    rmSync(at('left'), { recursive: true, force: true });
    await interrupted(at(`left.${format}`));
    cpSync(`${at(`left.${format}`)}.partial`, at('left'), { recursive: true });
    const file = (partial: string, name: string) => join(partial, name);
    expect(await again(() => {})).toContain('Goes on behind image 128 of 151.');
    // Half a batch, or half a line of the log.
    expect(await again((p) => appendFileSync(file(p, 'vectors.f32'), new Uint8Array(999)))).toContain(
      'image 128',
    );
    expect(await again((p) => appendFileSync(file(p, 'log.jsonl'), '{"next":151,"ids":["a"'))).toContain(
      'image 128',
    );
    // Lines that no run of this set has written, though there are vectors for them.
    for (const line of [
      { next: 152, ids: ['a'] },
      { next: 127, ids: ['a'] },
      { next: 129, ids: ['a', 'b'] },
      { next: 129, ids: [7] },
      { next: 151, ids: 'a' },
      null,
    ])
      expect(
        await again((p) => {
          appendFileSync(file(p, 'log.jsonl'), `${JSON.stringify(line)}\n`);
          appendFileSync(file(p, 'vectors.f32'), new Uint8Array(2 * 4 * 256));
        }),
      ).toContain('image 128');
    expect(await again((p) => truncateSync(file(p, 'vectors.f32'), 64 * 4 + 1))).not.toContain('Goes on');
    const lines = readFileSync(file(at('left'), 'log.jsonl'), 'utf8').split('\n');
    expect(await again((p) => writeFileSync(file(p, 'log.jsonl'), `${lines[0]}\n`))).toContain('image 64');
  });

  it('goes on behind images whose names hold line separators', async () => {
    const [odd, output] = [imageFolder(70), at('separators.npy')];
    renameSync(join(odd, 'p003.png'), join(odd, 'p003\u2028x\u2029.png'));
    mkdirSync(output);
    expect((await moco('embed', run, odd, '--out', output)).err).toMatch(/it is a folder/);
    rmSync(output, { recursive: true });
    const { code, err } = await moco('embed', run, odd, '--out', output);
    expect([code, err]).toEqual([0, expect.stringContaining('Goes on behind image 70 of 70.')]);
    expect((await (await openVectors(output)).ids())[3]).toBe('p003\u2028x\u2029.png');
  });

  /** What a run leaves that came to all but its last batch. */
  async function interrupted(output: string): Promise<void> {
    const partial = `${output}.partial`;
    // The last step fails where a folder stands in its way.
    mkdirSync(output);
    expect((await moco('embed', run, images, '--out', output)).err).toMatch(
      /could not be written: it is a folder/,
    );
    rmSync(output, { recursive: true });
    const lines = readFileSync(join(partial, 'log.jsonl'), 'utf8').split('\n');
    expect(lines).toHaveLength(4);
    writeFileSync(join(partial, 'log.jsonl'), `${lines.slice(0, 2).join('\n')}\n`);
  }

  it('refuses what another run left, and takes --restart', async () => {
    await interrupted(at('other.npy'));
    const { code, err } = await moco('embed', run, images, '--out', at('other.npy'), '--raw');
    expect(code).toBe(1);
    expect(err).toBe(
      `moco: ${at('other.npy')}.partial is of an interrupted run with another --raw: repeat that command, or begin anew with --restart\n`,
    );
    const job = `${at('other.npy')}.partial/job.json`;
    for (const [text, message] of [
      ['{"model":', `${job} is damaged: begin anew with --restart`],
      ['null', 'is of an interrupted run with another model, images, data'],
      ['"text"', 'is of an interrupted run with another model, images, data'],
    ] as const) {
      writeFileSync(job, text);
      const refused = await moco('embed', run, images, '--out', at('other.npy'));
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(message)]);
      expect(refused.err.trim()).not.toContain('\n');
    }
    expect((await moco('embed', run, images, '--out', at('other.npy'), '--raw', '--restart')).code).toBe(0);
  });

  it('leaves damaged images out, and refuses a folder of nothing else', async () => {
    const some = imageFolder(70);
    for (const name of ['p003.png', 'p069.png']) writeFileSync(join(some, name), 'no image');
    const { code, out, err } = await moco('embed', run, some, '--out', at('some.npy'));
    expect(code).toBe(0);
    expect(out).toContain('2 of 70 images could not be read');
    expect(err.match(/warning: left out: .*p0(03|69).png/g)).toHaveLength(2);
    const ids = await (await openVectors(at('some.npy'))).ids();
    expect([ids.length, ids.includes('p003.png'), ids[3]]).toEqual([68, false, 'p004.png']);
    const none = temporaryFolder();
    writeFileSync(join(none, 'a.png'), 'no image');
    expect((await moco('embed', run, none, '--out', at('none.npy'))).err).toMatch(
      /none of its images could be read/,
    );
  });

  it('takes a model that moco export wrote, if it takes raw images', async () => {
    await moco('export', run, '-o', at('raw.onnx'), '--with-preprocess');
    await moco('export', run, '-o', at('normal.onnx'));
    expect((await moco('embed', at('raw.onnx'), images, '--out', at('onnx.npy'), '--raw')).code).toBe(0);
    const file = await openVectors(at('onnx.npy'));
    const expected = await features(false);
    const actual = await file.vectors();
    // All images but one have the model's size, at which nothing is resized.
    const largest = (from: number) =>
      actual
        .subarray(from * file.dim)
        .reduce((most, x, i) => Math.max(most, Math.abs(x - expected[from * file.dim + i]!)), 0);
    expect(largest(1)).toBeLessThan(1e-4);
    const { err } = await moco('embed', at('normal.onnx'), images, '--out', at('normal.npy'));
    expect(err).toMatch(/^moco: .*normal.onnx takes no raw images \(moco export --with-preprocess[^\n]*\n$/);
    writeFileSync(at('junk.onnx'), 'junk');
    expect((await moco('embed', at('junk.onnx'), images, '--out', at('j.npy'))).err).toMatch(
      /^moco: [^\n]*is no ONNX model[^\n]*\n$/,
    );
  });

  it('writes tokens as [N, T, D], which are no vectors of images', async () => {
    const embed = (output: string, ...flags: string[]) =>
      moco('embed', run, images, '--out', at(output), '--tokens', ...flags);
    expect((await embed('tokens.npy', '--raw')).out).toMatch(
      /tokens\.npy: 151 tokens of 256 values, 1 of each of 151 images, /,
    );
    // Images of 16 pixels have one place in the last map, and so its mean is that.
    expect(npyOf(at('tokens.npy'))).toEqual({ shape: [151, 1, 256], values: [...(await features(false))] });
    const vit = at('vit');
    const small = ['-a', 'vit_tiny', '--patch-size', '8', '--max-steps', '1', '--bn', 'plain'];
    expect((await moco('pretrain', images, '--out', vit, ...tiny, ...small)).code).toBe(0);
    const [npy, parquet] = [at('patches.npy'), at('patches.parquet')];
    for (const file of [npy, parquet])
      expect((await moco('embed', vit, images, '--out', file, '--tokens')).code).toBe(0);
    const { shape, values } = npyOf(npy);
    expect(shape).toEqual([151, 4, 192]);
    for (let token = 0; token < 12; token++)
      expect(Math.hypot(...values.slice(token * 192, (token + 1) * 192))).toBeCloseTo(1, 5);
    // The same bytes, an image's tokens in one list.
    const rows = (await parquetReadObjects({ file: await asyncBufferFromFile(parquet) })) as Row[];
    expect(rows.flatMap(({ tokens }) => [...tokens])).toEqual(values);
    for (const file of [npy, parquet]) {
      const { code, err } = await moco('search', file, 'p001.png');
      expect([code, err]).toEqual([
        1,
        expect.stringMatching(/^moco: .*tokens, not (of )?one vector for each image[^\n]*\n$/),
      ]);
    }
  });

  it('takes the tokens of a model that has them, and says where there are none', async () => {
    const model = at('places.onnx');
    const exported = await moco('export', run, '-o', model, '--with-preprocess', '--tokens');
    expect(exported).toMatchObject({
      code: 0,
      out: expect.stringContaining('256 features and 1 tokens of 256'),
    });
    expect((await moco('embed', model, images, '--out', at('places.npy'), '--tokens', '--raw')).code).toBe(0);
    const [{ shape, values }, expected] = [npyOf(at('places.npy')), await features(false)];
    expect(shape).toEqual([151, 1, 256]);
    // The first image alone has another size than the model's.
    for (let i = 256; i < values.length; i++) expect(Math.abs(values[i]! - expected[i]!)).toBeLessThan(1e-4);
    await moco('export', run, '-o', at('plain.onnx'), '--with-preprocess');
    const mixer = fileURLToPath(new URL('../../../../examples/encoder-mixer/index.js', import.meta.url));
    const own = ['-a', 'mixer', '--plugin', mixer];
    expect(
      (await moco('pretrain', images, '--out', at('mixer'), ...tiny, ...own, '--max-steps', '1')).code,
    ).toBe(0);
    for (const [source, flags, message] of [
      [at('plain.onnx'), [], /no output "tokens" \(moco export --tokens/],
      [at('mixer'), ['--plugin', mixer], /the encoder mixer gives no tokens, .*: leave --tokens out/],
      [run, ['--with-head'], /--with-head and --tokens exclude each other/],
    ] as const) {
      const { code, err } = await moco('embed', source, images, '--out', at('x.npy'), '--tokens', ...flags);
      expect([code, err.trim().split('\n')]).toEqual([1, [expect.stringMatching(message)]]);
    }
  });

  it('stops at Ctrl-C and goes on', async () => {
    const many = imageFolder(640);
    const once = at('many.npy');
    await moco('embed', run, many, '--out', once);
    const output = at('stopped.npy');
    // In this process, so that the interrupt comes between two batches however busy the machine is.
    const watcher = watch(dirname(output), (_, name) => {
      if (name === 'stopped.npy.partial') process.emit('SIGINT');
    });
    const stopped = await moco('embed', run, many, '--out', output, '-j', '0');
    watcher.close();
    expect(stopped.code).toBe(130);
    expect(stopped.out).toContain('Stopped. The same command goes on.');
    const { err } = await moco('embed', run, many, '--out', output);
    expect(err).toMatch(/Goes on behind image \d+ of 640/);
    expect(readFileSync(output).equals(readFileSync(once))).toBe(true);
  });

  it('refuses other names at once, and a head that is not there', async () => {
    expect((await moco('embed', run, images, '--out', at('x.csv'))).err).toMatch(
      /should end in .parquet or .npy/,
    );
    const headless = at('headless.safetensors');
    expect(
      decodeSafetensors(readFileSync(join(run, 'checkpoint-0001.safetensors')), 'x').tensors,
    ).toHaveProperty(['q.fc.0.weight']);
    await moco('convert', run, '-o', headless);
    const { err } = await moco('embed', headless, images, '--out', at('x.npy'), '--with-head');
    expect(err).toMatch(/has no contrastive head: leave --with-head out/);
  });
});
