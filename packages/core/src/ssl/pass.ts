/** A pass through an encoder in training, as the methods share it. */
import type { Encoder, EncoderConfig, ForwardContext, TracedParams } from '../encoder.ts';
import { UserError } from '../errors.ts';
import type { Traced } from '../graph/trace.ts';

/** What a pass needs of a method's settings. */
export interface PassConfig {
  readonly encoder: Encoder;
  readonly encoderConfig: EncoderConfig;
  readonly batch: number;
  /** Groups of batch normalisation; 1 is plain. */
  readonly bnSplits: number;
}

/**
 * @param project from features [N, featureDim] to what the loss compares
 * @returns what `project` returned, and the parameters with their new running statistics: a second pass goes on from them
 */
export function trainingPass(
  { encoder, encoderConfig, bnSplits }: PassConfig,
  params: TracedParams,
  x: Traced,
  project: (context: ForwardContext, features: Traced) => Traced,
): [projected: Traced, after: TracedParams] {
  const updates = new Map<string, Traced>();
  const context = { config: encoderConfig, training: true, normalization: { splits: bnSplits }, updates };
  const projected = project(context, encoder.forward(context, params, x));
  return [projected, { ...params, ...Object.fromEntries(updates) }];
}

/** The names of the encoder's parameters that no optimizer and no average may touch. */
export function frozenOf({
  encoder,
  encoderConfig,
}: Pick<PassConfig, 'encoder' | 'encoderConfig'>): ReadonlySet<string> {
  return new Set(encoder.frozen?.(encoderConfig));
}

/** Throws UserError when a batch doesn't split into groups of two pictures or more. */
export function checkBatch({ batch, bnSplits }: Pick<PassConfig, 'batch' | 'bnSplits'>): void {
  if (batch % bnSplits !== 0 || batch / bnSplits < 2)
    throw new UserError(
      `a batch of ${batch} can't be normalised in ${bnSplits} groups of two images or more; change --batch-size or --bn-splits`,
    );
}
