/** From images to vectors: by an encoder as `moco knn` opens it, or by a model of `moco export --with-preprocess`. */
import {
  createExtractor,
  DivergedError,
  firstNotFinite,
  hasHead,
  printable,
  sameShape,
  say,
  settingRef,
  UserError,
  under,
  unitRows,
  type Wording,
  withoutHead,
} from '@moco-ts/core';
import {
  createPool,
  createSkipLog,
  type ImageDataset,
  ifDamaged,
  loadEval,
  type SkippedImage,
} from '@moco-ts/data';
import {
  type OnnxModel,
  openBackend,
  openEncoder,
  openForeignModel,
  openTogether,
  registerPlugins,
} from '@moco-ts/node';
import { checksum, modelConfig, type RunConfig } from '@moco-ts/run';

export interface EmbedderOptions {
  /** Default `ort`. */
  readonly backend?: string;
  readonly threads?: number;
  /** Threads that read images; default the run's. */
  readonly workers?: number;
  /** The contrastive head's outputs instead of the features behind it. */
  readonly withHead?: boolean;
  /** Those of an image's places instead of its features. */
  readonly tokens?: boolean;
  readonly warn: (text: Wording) => void;
  /** Called where a run's best checkpoint is not its newest. Default: it is not said. */
  readonly note?: (text: string) => void;
}

/** Vectors of a batch of images. */
export interface VectorBatch {
  /** Which images of the data set. */
  readonly indices: Int32Array;
  /** [indices.length, dim], of tokens [indices.length, rows, dim], as the model gives them. */
  readonly vectors: Float32Array;
}

/** What is done about damaged images. */
export interface Damage {
  /** Called for each image that is left out. */
  readonly onSkip: (skipped: SkippedImage) => void;
  /** How many are left out before it is an error; default the run's, else 1 % of the set, at least 10. */
  readonly maxBad?: number;
  /** Left out before `from`. */
  readonly badBefore?: number;
}

export interface Embedder {
  /** As the user gave it. */
  readonly model: string;
  /** A checksum of the weights. */
  readonly checksum: string;
  /** What the model was trained by; of an ONNX model nothing is known. */
  readonly config?: RunConfig;
  /** The length of a vector, or of a token. */
  readonly dim: number;
  /** Vectors of an image: 1, or the number of its tokens. */
  readonly rows: number;
  /** Images from `from` on, in order, in batches that begin at multiples of {@link embedBatch}; damaged ones are left out. */
  embed(dataset: ImageDataset, from: number, damage: Damage): AsyncGenerator<VectorBatch>;
  dispose(): Promise<void>;
}

export const embedBatch = 64;

/** @throws UserError; while it embeds, DivergedError for values that are not finite */
export async function openEmbedder(model: string, options: EmbedderOptions): Promise<Embedder> {
  await registerPlugins();
  const isOnnx = model.toLowerCase().endsWith('.onnx');
  const embedder = await (isOnnx ? openOnnx(model, options) : openRun(model, options));
  return {
    ...embedder,
    async *embed(dataset, from, onSkip) {
      for await (const batch of embedder.embed(dataset, from, onSkip)) {
        const row = firstNotFinite(batch.vectors, embedder.dim);
        if (row !== undefined)
          throw new DivergedError(
            say`${model}: its features of ${printable(dataset.id(batch.indices[Math.floor(row / embedder.rows)]!))} are not finite: its training diverged; take an earlier checkpoint, or train with a lower ${settingRef('lr')}`,
          );
        yield batch;
      }
    },
  };
}

async function openRun(model: string, options: EmbedderOptions): Promise<Embedder> {
  const { info, tensors, path } = await openEncoder(model, options.warn, options.note);
  const { config } = info;
  const all = under('q', tensors);
  const { withHead = false, tokens = false } = options;
  if (withHead && tokens)
    throw new UserError('--with-head and --tokens exclude each other: the head takes the features alone', {
      code: 'setting-conflict',
      setting: 'tokens',
    });
  if (withHead && !hasHead(all))
    throw new UserError(`${path} has no contrastive head: leave --with-head out`, {
      code: 'setting-conflict',
      setting: 'withHead',
    });
  const params = withHead ? all : withoutHead(all);
  const { threads } = options;
  return openTogether(async (keep) => {
    const backend = keep(
      await openBackend(options.backend ?? 'ort', threads === undefined ? {} : { threads }),
    );
    const network = { ...modelConfig(config, withHead), ...(tokens && { gives: 'tokens' as const }) };
    const extractor = keep(await createExtractor(backend, network, params, embedBatch));
    const pool = keep(createPool(options.workers ?? config.workers));
    const { imageSize: size, mean, std } = config;
    return {
      model,
      checksum: checksum(params),
      config,
      dim: extractor.dim,
      rows: extractor.rows,
      async *embed(dataset, from, { onSkip, maxBad = config.maxBad, badBefore }) {
        const indices = Int32Array.from({ length: dataset.length - from }, (_, i) => from + i);
        const damage = { onSkip, ...(maxBad !== undefined && { maxBad }), ...(badBefore && { badBefore }) };
        const read = { size, mean, std, indices, batch: embedBatch, pool, ...damage };
        for await (const { indices, data } of loadEval(dataset, read))
          yield { indices, vectors: await extractor.extract(data) };
      },
    };
  });
}

async function openOnnx(
  model: string,
  { withHead, backend = 'ort', tokens = false }: EmbedderOptions,
): Promise<Embedder> {
  if (withHead)
    throw new UserError(`${model} is exported already: leave --with-head out`, {
      code: 'setting-conflict',
      setting: 'withHead',
    });
  if (backend !== 'ort')
    throw new UserError(`${model} runs in ONNX Runtime: leave --backend out`, {
      code: 'setting-conflict',
      setting: 'backend',
      value: backend,
    });
  return openTogether(async (keep) => {
    const session = keep(await openForeignModel(model));
    if (tokens && !session.outputs.includes('tokens'))
      throw new UserError(
        `${model} has no output "tokens" (moco export --tokens makes a model that has): leave --tokens out`,
        { code: 'setting-conflict', setting: 'tokens' },
      );
    const one = imageByImage(model, session, tokens);
    const { values, shape } = await one(new Uint8Array(64 * 64 * 3), 64, 64);
    const { length } = values;
    const dim = shape.at(-1)!;
    return {
      model,
      checksum: session.checksum,
      dim,
      rows: length / dim,
      async *embed(dataset, from, damage) {
        const skips = createSkipLog(dataset, damage);
        for (let at = from; at < dataset.length; at += embedBatch) {
          const indices: number[] = [];
          const vectors = new Float32Array(embedBatch * length);
          for (let i = at; i < Math.min(dataset.length, at + embedBatch); i++) {
            const image = await dataset.decode(i).catch((error: Error) => {
              ifDamaged(error);
              skips.add([{ index: i, reason: error.message }]);
            });
            if (!image) continue;
            const { values } = await one(image.data, image.height, image.width);
            vectors.set(values, indices.length * length);
            indices.push(i);
          }
          if (indices.length > 0)
            yield {
              indices: Int32Array.from(indices),
              vectors: vectors.subarray(0, indices.length * length),
            };
        }
      },
    };
  });
}

/**
 * What a model gives for one image of any size.
 * @returns a vector, [D], or tokens, [T, D]; the same extents for each image
 */
function imageByImage(model: string, session: OnnxModel, tokens: boolean) {
  const [output, axes, most, expected] = tokens
    ? (['tokens', 2, 2 ** 24, 'tokens [1, T, D]'] as const)
    : ([undefined, 1, LONGEST, 'a vector [1, D]'] as const);
  let known: readonly number[] | undefined;
  return async (data: Uint8Array, height: number, width: number) => {
    const { first, type, dims } = await session
      .run('uint8', data, [1, height, width, 3], output)
      .catch((error: Error) => {
        throw new UserError(
          `${model} takes no raw images (moco export --with-preprocess makes one that does): ${error.message}`,
          { code: 'checkpoint-mismatch' },
        );
      });
    if (type !== 'float32')
      throw new UserError(`${model} gives ${type ?? 'no tensor'}, not vectors of float32`, {
        code: 'checkpoint-mismatch',
      });
    // Of other programs' models a vector may have further axes.
    const shape = tokens ? dims.slice(1) : [first.length];
    const fits = dims[0] === 1 && shape.length === axes && first.length >= 1 && first.length <= most;
    if (!fits || !sameShape(shape, known ?? shape))
      throw new UserError(
        `${model} gives [${dims.join(', ')}] for an image of ${width} x ${height}, not ${known && !tokens ? `a vector [1, ${known}]` : expected}`,
        { code: 'checkpoint-mismatch' },
      );
    known = shape;
    return { values: first, shape };
  };
}

/** Values of a vector. */
const LONGEST = 65_536;

/** Scales vectors to length 1 if `unit`. */
export function scaled(vectors: Float32Array, dim: number, unit: boolean): Float32Array {
  return unit ? unitRows(vectors, dim) : vectors;
}
