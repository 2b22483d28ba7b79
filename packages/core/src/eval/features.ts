/** Features of images from a trained encoder, in evaluation mode. */
import type { Backend } from '../backend.ts';
import type { Encoder, EncoderConfig, ForwardContext, Params, TracedParams } from '../encoder.ts';
import { SettingError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { say, settingRef } from '../message.ts';
import { linear, normalize } from '../nn/layers.ts';
import { optimize } from '../passes/passes.ts';
import { type HeadConfig, head, withoutHead } from '../ssl/head.ts';
import { type ProjectorConfig, projector } from '../ssl/projector.ts';
import { sizeOf } from '../tensor/tensor.ts';

/** A linear classifier as the head: its outputs are logits. */
export interface ClassifierHead {
  readonly classes: number;
}

/** A head of a method's own. */
export interface OwnHead {
  /** The length of its outputs. */
  readonly dim: number;
  /** @param features [N, featureDim], @returns [N, dim], not scaled to unit length */
  project(context: ForwardContext, params: TracedParams, features: Traced): Traced;
}

/** What follows the features, named `fc.*`: a head of one or two layers, MoCo v3's projector, a method's own, or a classifier. */
export type ModelHead = HeadConfig | ProjectorConfig | OwnHead | ClassifierHead;

export interface ModelConfig {
  readonly encoder: Encoder;
  readonly encoderConfig: EncoderConfig;
  /**
   * With a contrastive head the outputs are unit vectors of its length, with a classifier logits; without one the
   * features, not normalised.
   */
  readonly head?: ModelHead;
  /** `tokens`: those of the encoder, which no head follows; `both`: beside the features. Default features. */
  readonly gives?: 'features' | 'tokens' | 'both';
}

function project(context: ForwardContext, params: TracedParams, features: Traced, config: ModelHead): Traced {
  if ('classes' in config) return linear(params, 'fc', features);
  if ('project' in config) return normalize(config.project(context, params, features));
  if ('layers' in config) return normalize(projector(context, params, 'fc', features, config));
  return normalize(head(params, features, config));
}

/**
 * The encoder as a graph in evaluation mode. Inputs: `input` [N, C, H, W] and each parameter by its name.
 * Outputs: `features` [N, D], or `logits` [N, C] of a classifier; `tokens` [N, T, D].
 * @throws SettingError for tokens of an encoder that has none
 */
export function encoderGraph(
  { encoder, encoderConfig, head: headConfig, gives = 'features' }: ModelConfig,
  params: Params,
  batch: number,
): Graph {
  const used = Object.entries(headConfig ? params : withoutHead(params));
  const graph = trace((builder) => {
    const x = builder.input('input', [batch, ...encoder.inputShape(encoderConfig)]);
    const traced = Object.fromEntries(
      used.map(([name, { shape, dtype }]) => [name, builder.input(name, shape, dtype)]),
    );
    const normalization = { splits: 1 };
    const context = { config: encoderConfig, training: false, normalization, updates: new Map() };
    const outputs: Record<string, Traced> = {};
    if (gives !== 'tokens') {
      const features = encoder.forward(context, traced, x);
      const result = headConfig ? project(context, traced, features, headConfig) : features;
      outputs[headConfig && 'classes' in headConfig ? 'logits' : 'features'] = result;
    }
    if (gives !== 'features') {
      const tokens = encoder.tokens?.(context, traced, x);
      if (!tokens) throw withoutTokens(encoder);
      outputs.tokens = tokens;
    }
    return outputs;
  });
  return optimize(graph);
}

const withoutTokens = ({ name }: Encoder) =>
  new SettingError(
    say`the encoder ${name} gives no tokens, features of an image's places: leave ${settingRef('tokens')} out`,
    { code: 'setting-conflict', setting: 'tokens' },
  );

export interface FeatureExtractor {
  /** The length of a feature vector, or of a token. */
  readonly dim: number;
  /** Vectors of an image: 1, or the number of its tokens. */
  readonly rows: number;
  /**
   * @param images [M, C, H, W] for any M >= 1, normalised
   * @returns [M, dim]; of tokens [M, rows, dim]
   */
  extract(images: Float32Array): Promise<Float32Array>;
  /** Takes other weights of the same shapes. */
  load(params: Params): Promise<void>;
  dispose(): Promise<void>;
}

/** Compiles an encoder for inference in chunks of `batch` images. Of a model that gives both, it gives the features. */
export async function createExtractor(
  backend: Backend,
  model: ModelConfig,
  params: Params,
  batch: number,
): Promise<FeatureExtractor> {
  const graph = encoderGraph(model, params, batch);
  const names = graph.inputs.map((port) => port.name).filter((name) => name !== 'input');
  const { name: output, value } = graph.outputs[0]!;
  const extents = graph.values[value]!.shape;
  const program = await backend.compile(graph, { state: names.map((input) => ({ input })) });
  const load = (weights: Params) =>
    program.load(Object.fromEntries(names.map((name) => [name, weights[name]!])));
  try {
    await load(params);
  } catch (error) {
    await program.dispose();
    throw error;
  }
  const shape = [batch, ...model.encoder.inputShape(model.encoderConfig)];
  const image = sizeOf(shape) / batch;
  const width = sizeOf(extents) / batch;
  const dim = extents.at(-1)!;
  return {
    dim,
    rows: width / dim,
    extract: async (images) => {
      const count = images.length / image;
      const out = new Float32Array(count * width);
      for (let at = 0; at < count; at += batch) {
        const chunk = new Float32Array(batch * image);
        chunk.set(images.subarray(at * image, Math.min(count, at + batch) * image));
        const outputs = await program.run({ input: { shape, dtype: 'float32', data: chunk } });
        const taken = Math.min(batch, count - at) * width;
        out.set((outputs[output]!.data as Float32Array).subarray(0, taken), at * width);
      }
      return out;
    },
    load,
    dispose: () => program.dispose(),
  };
}
