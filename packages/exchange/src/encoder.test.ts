import {
  type Encoder,
  encoderGraph,
  interpret,
  type ModelHead,
  mocoV3Projection,
  type Params,
  registerEncoder,
  rng,
} from '@moco-ts/core';
import { defineResnet, defineVit, registerEncoders } from '@moco-ts/encoders';
import { describe, expect, it } from 'vitest';
import { type EncoderOptions, type FoundEncoder, findEncoder } from './encoder.ts';
import { readTorch } from './read.ts';
import { bytesSource } from './source.ts';
import { loadedTensors, torchTensors } from './tensors.ts';
import { expected, fixtureSource } from './testing.ts';
import { encodeTorch } from './write.ts';

interface Result {
  readonly features: number[];
  readonly queries?: number[];
}
interface Expected {
  readonly [file: string]: Result & { readonly key?: Result; readonly queue?: number[] };
}
const fixtures = expected<Expected>();
const { seed, batch, side } = expected<{ seed: number; batch: number; side: number }>();

const narrow = defineResnet({ name: 'narrow', block: 'basic', depths: [1, 1, 1, 1], width: 2 });
const small = defineVit({ name: 'small', dim: 16, depth: 2, heads: 4 });
const patches: Encoder = { ...small, name: 'narrow-vit', ...withPatches(8) };
registerEncoders();
registerEncoder(narrow);
registerEncoder(patches);

/** The options of a foreign file hold no patch size for an arch that is named. */
function withPatches(patchSize: number): Partial<Encoder> {
  const config = (given: { imageSize: number }) => ({ ...given, patchSize });
  return {
    inputShape: (given) => small.inputShape(config(given)),
    featureDim: (given) => small.featureDim(config(given)),
    init: (given, random) => small.init(config(given), random),
    forward: (context, params, x) => small.forward({ ...context, config: config(context.config) }, params, x),
  };
}

const image = (() => {
  const random = rng(seed, 'exchange/picture');
  const shape = [batch, 3, side, side];
  return {
    shape,
    dtype: 'float32',
    data: Float32Array.from({ length: batch * 3 * side * side }, () => random.uniform(-2, 2)),
  } as const;
})();

/** By the oracle, in float64. */
function features(encoder: Encoder, params: Params, head?: ModelHead): ArrayLike<number> {
  const model = { encoder, encoderConfig: { imageSize: side }, ...(head && { head }) };
  return interpret(encoderGraph(model, params, batch), { ...params, input: image }).features!.data;
}

function headOf({ head }: FoundEncoder): ModelHead | undefined {
  if (head === undefined) return undefined;
  const { type, dim, hidden } = head;
  return type === 'projector' ? mocoV3Projection('vit', 16, { hidden, dim }) : { mlp: type === 'mlp', dim };
}

/** The largest difference, relative to the largest value. */
function difference(found: ArrayLike<number>, wanted: readonly number[]): number {
  expect(found.length).toBe(wanted.length);
  const scale = Math.max(...wanted.map(Math.abs));
  return Math.max(...wanted.map((value, i) => Math.abs(value - found[i]!))) / scale;
}

async function found(name: string, options: EncoderOptions = {}): Promise<FoundEncoder> {
  const arch = name.includes('vit') ? 'narrow-vit' : 'narrow';
  return findEncoder(torchTensors(await readTorch(fixtureSource(name))), {
    arch,
    imageSize: side,
    ...options,
  });
}

/** Both sides compute in float64 from the same float32 values. */
const tolerance = 1e-9;

describe.each(Object.keys(fixtures).filter((name) => name.includes('.')))(
  "%s has PyTorch's features",
  (name) => {
    const wanted = fixtures[name]!;
    const encoder = name.includes('vit') ? patches : narrow;
    it('before and behind its head', async () => {
      const read = await found(name);
      expect(difference(features(encoder, read.query), wanted.features)).toBeLessThan(tolerance);
      expect(read.head !== undefined).toBe(wanted.queries !== undefined);
      if (wanted.queries)
        expect(difference(features(encoder, read.query, headOf(read)), wanted.queries)).toBeLessThan(
          tolerance,
        );
    });
  },
);

describe('official checkpoints', () => {
  it.each(['v2.pth.tar', 'v2-legacy.pth.tar'])('%s: keys and queue where they are wanted', async (name) => {
    expect(await found(name)).toMatchObject({ kind: 'queue', key: {}, rest: {}, unexpected: [] });
    const { key, rest } = await found(name, { withKey: true });
    expect(difference(features(narrow, key), fixtures[name]!.key!.features)).toBeLessThan(tolerance);
    expect([...rest.queue!.data]).toEqual(fixtures[name]!.queue);
    expect([rest.queue!.shape, [...rest.queue_ptr!.data]]).toEqual([[4, 8], [6]]);
  });
  it('of v3: the predictor and the fixed positions', async () => {
    const { kind, head, rest, key, notes, unexpected } = await found('v3-vit.pth.tar', { withKey: true });
    expect([kind, head?.type, head?.dim, head?.hidden]).toEqual(['momentum', 'projector', 4, 6]);
    expect(Object.keys(rest)).toContain('predictor.0.weight');
    expect(Object.keys(key)).toContain('fc.6.weight');
    expect(notes.map(String)).toEqual([
      'its positions are the fixed ones',
      "not said by the file, so assumed: ImageNet's mean and standard deviation (mean, std)",
    ]);
    expect(unexpected).toEqual([]);
  });
});

describe('what does not match', () => {
  const changed = async (change: (tensors: Params) => Params, options: EncoderOptions = {}) => {
    const { query } = await found('shared.pth');
    return findEncoder(loadedTensors('w.safetensors', change(query)), {
      arch: 'narrow',
      imageSize: side,
      ...options,
    });
  };
  it('is named when it is in the file alone', async () => {
    const { unexpected } = await found('shared.pth');
    expect(unexpected).toEqual(['fc.weight', 'fc.bias']);
    const extra = { shape: [1], dtype: 'float32', data: new Float32Array(1) } as const;
    expect((await changed((q) => ({ ...q, 'neck.weight': extra, constructor: extra }))).unexpected).toEqual([
      'neck.weight',
      'constructor',
    ]);
  });
  it('is refused when it is in the encoder alone', async () => {
    await expect(
      changed((q) => Object.fromEntries(Object.entries(q).filter(([name]) => name !== 'layer1.0.bn1.bias'))),
    ).rejects.toThrow(/w\.safetensors: 1 of the 60 weights of narrow are missing: layer1\.0\.bn1\.bias/);
    await expect(
      changed((q) => Object.fromEntries(Object.entries(q).map(([name, value]) => [`${name}.x`, value]))),
    ).rejects.toThrow('w.safetensors: none of its tensors is one of narrow');
    await expect(changed((q) => q, { arch: 'resnet18' })).rejects.toThrow(
      /"conv1\.weight" is \[2, 3, 7, 7\], that of resnet18 \[64, 3, 7, 7\]: it is another model/,
    );
    await expect(changed((q) => q, { arch: 'resnet17' })).rejects.toThrow(/there is no arch "resnet17"/);
  });
  const one = { shape: [1], dtype: 'float32', data: new Float32Array(1) } as const;
  it.each([
    'layer1.0.se.fc1.weight',
    'layer4.0.conv4.weight',
    'layer5.0.conv1.weight',
    'conv1.bias',
    'norm_pre.weight',
    'module.layer2.0.attn.weight',
  ])('is refused where it would change the features: %s', async (name) => {
    await expect(changed((q) => ({ ...q, [name]: one }))).rejects.toThrow(
      `w.safetensors: narrow has no place for 1 of its tensors, so it is another network: ${name}`,
    );
  });
  it.each([
    'blocks.0.ls1.gamma',
    'blocks.1.attn.q_norm.weight',
    'blocks.0.norm3.weight',
    'reg_token',
    'dist_token',
    'fc_norm.weight',
  ])('is refused of a ViT, too: %s', async (name) => {
    const file = torchTensors(await readTorch(fixtureSource('timm-vit.pth')));
    const tensors = await file.read(Object.keys(file.shapes));
    const more = loadedTensors('w', { ...tensors, [name]: one });
    await expect(findEncoder(more, { arch: 'narrow-vit', imageSize: side })).rejects.toThrow(
      `w: narrow-vit has no place for 1 of its tensors, so it is another network: ${name}`,
    );
  });
  it('is refused without a name for it', async () => {
    const file = torchTensors(await readTorch(fixtureSource('shared.pth')));
    await expect(findEncoder(file)).rejects.toThrow(/are of no encoder that is known here/);
  });
  it('is refused when it is no number of the right kind', async () => {
    await expect(
      changed((q) => ({ ...q, 'bn1.bias': { shape: [2], dtype: 'int32', data: new Int32Array(2) } })),
    ).rejects.toThrow(/"bn1\.bias" is int32, no floating-point weight/);
  });
  it('without a state dict', async () => {
    const file = await readTorch(bytesSource('x.pth', await encodeTorch({ epoch: 3 })));
    expect(() => torchTensors(file)).toThrow(/x\.pth holds no state dict/);
  });
});

describe('positions', () => {
  const moved = async (options: EncoderOptions = {}) => {
    const file = torchTensors(await readTorch(fixtureSource('timm-vit.pth')));
    const tensors = await file.read(Object.keys(file.shapes));
    const data = (tensors.pos_embed!.data as Float32Array).slice();
    data[40]! += 0.1;
    const other = { ...tensors, pos_embed: { ...tensors.pos_embed!, data } };
    return findEncoder(loadedTensors('w', other), { arch: 'narrow-vit', imageSize: side, ...options });
  };
  it('that are learned are refused', async () => {
    await expect(moved()).rejects.toThrow(/positions \(pos_embed\) are not the fixed .* by up to 0\.10/);
    expect((await moved({ ignorePositions: true })).notes[0]).toMatch(/left out and are not the fixed ones/);
  });
});

describe('an encoder under a prefix', () => {
  const query = found('shared.pth').then(({ query: own }) => own);
  const moved = (tensors: Params, prefix: string, by = 0): Params =>
    Object.fromEntries(
      Object.entries(tensors).map(([name, value]) => [
        `${prefix}${name}`,
        { ...value, data: (value.data as Float32Array).map((x) => x + by) },
      ]),
    );
  const open = (tensors: Params, options: EncoderOptions = {}) =>
    findEncoder(loadedTensors('w', tensors), { arch: 'narrow', imageSize: side, ...options });

  it.each(['encoder.', 'backbone.', 'module.backbone.', 'resnet.', 'model.net.0.', ''])(
    'is found: %s',
    async (prefix) => {
      expect((await open(moved(await query, prefix))).query).toEqual(await query);
    },
  );

  it.each([
    ["DINO's teacher", 'teacher.backbone.', 'student.module.backbone.'],
    ['not the running mean', 'backbone.', 'backbone_momentum.'],
    ['not the target', 'online_encoder.', 'target_encoder.'],
  ])('of two: %s', async (_, wanted, other) => {
    const both = { ...moved(await query, other, 1), ...moved(await query, wanted) };
    const chosen = await open(both);
    expect(chosen.query).toEqual(await query);
    expect(chosen.notes).toContain(`the encoder is what is under ${wanted}`);
    expect(chosen.unexpected).toContain(`${other}conv1.weight`);
    const named = await open(both, { prefix: other.slice(0, -1) });
    expect(named.query).toEqual(moved(await query, '', 1));
  });

  it('of two that are alike is asked for', async () => {
    const two = { ...moved(await query, 'a.'), ...moved(await query, 'b.', 1) };
    await expect(open(two)).rejects.toThrow('w holds 2 networks: a., b.; take one of them by prefix');
    expect((await open(two, { prefix: 'b' })).query).toEqual(moved(await query, '', 1));
    await expect(open(two, { prefix: 'c' })).rejects.toThrow(
      /^w: no name of its tensors begins with c\.; they are a\.conv1/,
    );
  });

  it('whose layers are numbered, as in the Sequential of a torchvision ResNet', async () => {
    const numbers = { conv1: 0, bn1: 1, layer1: 4, layer2: 5, layer3: 6, layer4: 7 };
    const numbered = Object.fromEntries(
      Object.entries(await query).map(([name, value]) => {
        const [layer, ...rest] = name.split('.');
        return [[numbers[layer as keyof typeof numbers], ...rest].join('.'), value];
      }),
    );
    const head = { 'projection_head.layers.0.weight': (await query)['conv1.weight']! };
    const { query: own, unexpected } = await open({ ...moved(numbered, 'backbone.'), ...head });
    expect(own).toEqual(await query);
    expect(unexpected).toEqual(Object.keys(head));
    expect((await open(moved(numbered, ''))).query).toEqual(await query);
  });

  it('in dicts of their own, as DINO saves them', async () => {
    const bytes = await encodeTorch({
      student: moved(await query, 'module.backbone.', 1),
      teacher: moved(await query, 'backbone.'),
      epoch: 3,
    });
    const { query: teacher } = await findEncoder(
      torchTensors(await readTorch(bytesSource('dino.pth', bytes))),
      {
        arch: 'narrow',
        imageSize: side,
      },
    );
    expect(teacher).toEqual(await query);
  });
});
