/** The contract of encoders, and the registry through which a command line finds them. */
import { SettingError, UserError } from './errors.ts';
import type { Traced } from './graph/trace.ts';
import type { Rng } from './rng.ts';
import type { Tensor } from './tensor/tensor.ts';

/** Parameters and buffers by name: torchvision's for ResNets, timm's for ViTs; PyTorch's layouts. */
export type Params = Record<string, Tensor>;
export type TracedParams = Readonly<Record<string, Traced>>;

/** What every encoder is configured by; an encoder may read further keys. */
export interface EncoderConfig {
  /** Height and width of the input, in pixels. */
  readonly imageSize: number;
  /** `imagenet`: 7x7 stride 2 and a max-pool; `cifar`: 3x3 stride 1, no pool. Default imagenet. */
  readonly stem?: 'imagenet' | 'cifar';
  readonly [option: string]: unknown;
}

/** How batch normalisation gets its statistics. */
export interface Normalization {
  /** The batch is normalised in this many independent groups: sample n belongs to group n mod splits. 1: plain. */
  readonly splits: number;
  /** R where statistics, group by group, are those of R replicas together. Default 1: each replica's own. */
  readonly replicas?: number;
}

/** What `forward` needs beside values. */
export interface ForwardContext<Config extends EncoderConfig = EncoderConfig> {
  readonly config: Config;
  /** Batch statistics (and new running ones) instead of the running ones. */
  readonly training: boolean;
  readonly normalization: Normalization;
  /** The buffers' new values by name, filled by layers in training. */
  readonly updates: Map<string, Traced>;
  /** Whether the backward pass computes what blocks computed inside again: see `nn.endBlock`. Default false. */
  readonly checkpointActivations?: boolean;
}

const families = ['resnet', 'vit'] as const;

/** What is known of an architecture before it is configured. */
export interface EncoderTraits {
  /** Whose published settings it takes: MoCo v3's temperature, optimizer, warm-up and heads differ. Default `resnet`. */
  readonly family: (typeof families)[number];
  /** Its default stem, then the alternatives that {@link EncoderConfig.stem} may select. Default none. */
  readonly stems: readonly string[];
  /** Channels of its input. Default 3. */
  readonly channels: number;
}

const defaultTraits: EncoderTraits = { family: 'resnet', stems: [], channels: 3 };

/** An encoder: from images to features, before any head. */
export interface Encoder<Config extends EncoderConfig = EncoderConfig> {
  /** What `-a`, a run and its checkpoints know it by. */
  readonly name: string;
  /** What differs from the defaults; `traitsOf` gives all of them. */
  readonly traits?: Partial<EncoderTraits>;
  /** [C, H, W] */
  inputShape(config: Config): readonly [number, number, number];
  /** The length of a feature vector. */
  featureDim(config: Config): number;
  /**
   * Names under `fc.` are reserved for the head.
   * @param random the stream for one parameter, by its name
   */
  init(config: Config, random: (parameter: string) => Rng): Params;
  /**
   * The names of parameters that stay as initialised: `forward` lets no gradient through to them, and an optimizer must
   * leave them alone, weight decay included. Default: none.
   */
  frozen?(config: Config): readonly string[];
  /**
   * @param x float32 [N, C, H, W], normalised images
   * @returns float32 [N, featureDim]
   */
  forward(context: ForwardContext<Config>, params: TracedParams, x: Traced): Traced;
  /**
   * Features of the places of an image, if the encoder has them: of its patches, or of the positions of its last map; row by row
   * from the top, without class token and registers. What it shares with `forward` is computed once.
   * @param x as of `forward`
   * @returns float32 [N, T, D]: T places
   */
  tokens?(context: ForwardContext<Config>, params: TracedParams, x: Traced): Traced;
}

/** Marks an object as an encoder plugin, with its type checked. */
export function defineEncoder<Config extends EncoderConfig>(encoder: Encoder<Config>): Encoder<Config> {
  return encoder;
}

/** An encoder's traits; without an encoder, the defaults. */
export function traitsOf(encoder?: Pick<Encoder, 'traits'>): EncoderTraits {
  return { ...defaultTraits, ...encoder?.traits };
}

const registry = new Map<string, Encoder>();

/**
 * Makes an encoder known by its name; a later one of the same name replaces it.
 * @throws UserError for a family that there is not
 */
export function registerEncoder(encoder: Encoder): void {
  const { name } = encoder;
  const { family } = traitsOf(encoder);
  if (!families.includes(family))
    throw new UserError(
      `${name}: there is no family "${family}" of encoders; known are: ${families.join(', ')}`,
      { code: 'plugin-invalid' },
    );
  registry.set(name, encoder);
}

export function encoderNames(): string[] {
  return [...registry.keys()].sort();
}

/** @throws SettingError that lists the known names */
export function encoderNamed(name: string): Encoder {
  const encoder = registry.get(name);
  if (!encoder)
    throw new SettingError(`there is no arch "${name}"; known are: ${encoderNames().join(', ')}`, {
      setting: 'arch',
      value: name,
    });
  return encoder;
}

const buffer = /\.(running_mean|running_var|num_batches_tracked)$/;

/** Whether a name is a buffer (set by the forward pass) rather than a parameter (set by the optimizer). */
export function isBuffer(name: string): boolean {
  return buffer.test(name);
}
