import {
  allFinite,
  type Backend,
  type BackendPlugin,
  createExtractor,
  DivergedError,
  type Encoder,
  type FeatureExtractor,
  hasHead,
  SettingError,
  say,
  settingRef,
  UserError,
  under,
  type Wording,
} from '@moco-ts/core';
import {
  applyEvalTransform,
  checkedImage,
  createGate,
  decodeBytes,
  decodeFile,
  type RgbImage,
} from '@moco-ts/data';
import { openBackend, openEncoder, openEncoderBytes, registerPlugins } from '@moco-ts/node';
import { type MethodPlugin, modelConfig, type RunConfig } from '@moco-ts/run';
import type { BackendName } from './options.ts';
import { adoptBackend, adoptEncoder, adoptMethod } from './own.ts';
import { emitWarning } from './pretrain.ts';

/** An image: a file's path, a file's bytes, or RGB of 8 bits, `[height, width, 3]`. */
export type Image = string | Uint8Array | RgbImage;

/** How {@link loadEncoder} opens an encoder. */
export interface EncoderOptions {
  /** Outputs of the contrastive head, of length 1, instead of the features behind it. Default false. */
  readonly withHead?: boolean;
  /** Features of an image's places (a ViT's patches, the positions of a ResNet's last map) instead of its features. Default false. */
  readonly tokens?: boolean;
  /** A backend's name, or a backend of your own. Default `ort`. */
  readonly backend?: BackendName | (string & {}) | BackendPlugin;
  /** Threads of the backend. Default all cores. */
  readonly threads?: number;
  /** Images that are computed at a time, where there are many. Default 32. */
  readonly batchSize?: number;
  /** The encoder's own code, if it did not come with MoCo.ts: a checkpoint has weights alone. */
  readonly arch?: Encoder;
  /** The method's own code, if it did not come with MoCo.ts: only its head needs it. */
  readonly method?: MethodPlugin;
  /** Called with each warning. Default `process.emitWarning`. */
  readonly onWarning?: (message: string) => void;
}

/** A trained encoder, ready to use. */
export interface LoadedEncoder {
  /** The length of a row of {@link LoadedEncoder.embed}; of tokens the length of one. */
  readonly featureDim: number;
  /** Vectors of an image: 1, or with {@link EncoderOptions.tokens} the number of its tokens. */
  readonly rows: number;
  /** What it was trained by, as far as the file tells. */
  readonly config: RunConfig;
  /**
   * Features of images, in evaluation mode: resized, the centre cut out, normalised as in training. Calls may overlap. The
   * number of images in a call may change the last bits.
   * @returns a row of `featureDim` numbers for each image, in order; of tokens `rows` times as many, [rows, featureDim]
   * @throws UserError for an image that can't be read; DivergedError for features that are not finite
   */
  embed(images: readonly Image[]): Promise<Float32Array[]>;
  /** Frees what the encoder holds, after pending calls have finished. */
  dispose(): Promise<void>;
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** From this many images on, a whole batch pays off, padding included. */
const FEW = 4;

/**
 * Opens a trained encoder: a run folder, a checkpoint, a file of `moco import` or `moco convert`, or one of PyTorch (whose code
 * is never run).
 *
 * ```ts
 * const encoder = await loadEncoder('runs/photos');
 * const [row] = await encoder.embed(['cat.jpg']);
 * ```
 * @param source a path, or the bytes of a file
 * @throws UserError in one line: what is missing, damaged or not of MoCo
 */
export async function loadEncoder(
  source: string | Uint8Array | ArrayBuffer,
  {
    withHead = false,
    tokens = false,
    backend: asked = 'ort',
    threads,
    batchSize = 32,
    arch,
    method,
    onWarning = emitWarning,
  }: EncoderOptions = {},
): Promise<LoadedEncoder> {
  if (!Number.isSafeInteger(batchSize) || batchSize < 1)
    throw new SettingError(`batchSize: ${batchSize} is not right. Give a whole number from 1.`, {
      setting: 'batchSize',
      value: batchSize,
    });
  const warn = (text: Wording) => onWarning(String(text));
  await registerPlugins();
  if (arch) await adoptEncoder(arch);
  if (method) adoptMethod(method);
  if (typeof asked !== 'string') await adoptBackend(asked);
  const { info, tensors, path } =
    typeof source === 'string'
      ? await openEncoder(source, warn)
      : await openEncoderBytes(bytesOf(source), 'the encoder', warn);
  const all = under('q', tensors);
  if (withHead && !hasHead(all))
    throw new SettingError(say`${path} has no contrastive head: leave ${settingRef('withHead')} out`, {
      code: 'setting-conflict',
      value: true,
    });
  if (withHead && tokens)
    throw new SettingError(
      say`${settingRef('withHead')} and ${settingRef('tokens')} exclude each other: the head takes the features alone`,
      { code: 'setting-conflict', value: true },
    );
  const plain = modelConfig(info.config, withHead, arch);
  const model = tokens ? { ...plain, gives: 'tokens' as const } : plain;
  const backend = await openBackend(asked, threads === undefined ? {} : { threads });
  /** Compiled for a number of images. */
  const compile = (batch: number) => createExtractor(backend, model, all, batch);
  try {
    return new OpenEncoder(path, info.config, backend, batchSize, compile, await compile(1));
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

class OpenEncoder implements LoadedEncoder {
  readonly featureDim: number;
  readonly rows: number;
  readonly config: RunConfig;
  private readonly path: string;
  private readonly backend: Backend;
  private readonly batchSize: number;
  private readonly compile: (batch: number) => Promise<FeatureExtractor>;
  /** For one image, and for a batch once there is one. */
  private readonly one: FeatureExtractor;
  private many: Promise<FeatureExtractor> | undefined;
  // Each image under way is held whole.
  private readonly decodes = createGate(4);
  private closed = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    path: string,
    config: RunConfig,
    backend: Backend,
    batchSize: number,
    compile: (batch: number) => Promise<FeatureExtractor>,
    one: FeatureExtractor,
  ) {
    this.path = path;
    this.config = config;
    this.backend = backend;
    this.batchSize = batchSize;
    this.compile = compile;
    this.one = one;
    this.featureDim = one.dim;
    this.rows = one.rows;
  }

  embed = async (images: readonly Image[]): Promise<Float32Array[]> => {
    if (this.closed) throw new UserError('the encoder was disposed of: load it again');
    if (!Array.isArray(images)) throw new UserError('embed takes an array of images');
    return this.inTurn(async () => {
      const rows: Float32Array[] = [];
      for (let at = 0; at < images.length; at += this.batchSize)
        rows.push(...(await this.chunk(images.slice(at, at + this.batchSize))));
      return rows;
    });
  };

  dispose = async (): Promise<void> => {
    if (this.closed) return this.queue as Promise<void>;
    this.closed = true;
    return this.inTurn(async () => {
      await this.one.dispose();
      await (await this.many)?.dispose();
      await this.backend.dispose();
    });
  };

  [Symbol.asyncDispose] = (): Promise<void> => this.dispose();

  private async chunk(images: readonly Image[]): Promise<Float32Array[]> {
    const { imageSize: size, mean, std } = this.config;
    const floats = 3 * size * size;
    const pixels = new Float32Array(images.length * floats);
    const place = async (image: Image, row: number) =>
      applyEvalTransform(await decode(image, row), { size, mean, std }, undefined, pixels, row * floats);
    await Promise.all(images.map((image, row) => this.decodes.run(1, () => place(image, row))));
    const { dim, rows, extract } = await this.extractorFor(images.length);
    const width = dim * rows;
    const features = await extract(pixels);
    if (!allFinite(features))
      throw new DivergedError(`${this.path} gives features that are not finite: its training diverged`);
    return images.map((_, row) => features.slice(row * width, (row + 1) * width));
  }

  private extractorFor(images: number): Promise<FeatureExtractor> | FeatureExtractor {
    if (images < FEW || this.batchSize === 1) return this.one;
    this.many ??= this.compile(this.batchSize);
    return this.many;
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.queue.then(act);
    this.queue = done.catch(() => undefined);
    return done;
  }
}

function bytesOf(source: Uint8Array | ArrayBuffer): Uint8Array {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  throw new UserError('loadEncoder takes a path, or the bytes of a file');
}

function decode(image: Image, index: number): Promise<RgbImage> | RgbImage {
  if (typeof image === 'string') return decodeFile(image);
  if (image instanceof Uint8Array) return decodeBytes(image, `image ${index}`);
  if (image?.data === undefined)
    throw new UserError(`image ${index} is no path, bytes or { width, height, data }`);
  return checkedImage(image, `image ${index}`);
}
