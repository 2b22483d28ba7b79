/** A pass through an encoder in training, as the methods share it. */
import type { Encoder, EncoderConfig, ForwardContext, TracedParams } from '../encoder.ts';
import { SettingError } from '../errors.ts';
import type { Traced } from '../graph/trace.ts';
import { say, settingRef } from '../message.ts';
import type { Branch } from '../train/branch.ts';

/** What a pass needs of a method's settings. */
export interface PassConfig {
  readonly encoder: Encoder;
  readonly encoderConfig: EncoderConfig;
  /** Images of a pass. Where gradients are accumulated, those of a micro-batch. */
  readonly batch: number;
  /** N, the micro-batches of an update, for methods that accumulate gradients. Default 1. */
  readonly accumulate?: number;
  /** Groups of batch normalisation; 1 is plain. */
  readonly bnSplits: number;
  /** Compute activations again in the backward pass: less memory, longer steps, the same results. Default false. */
  readonly checkpointActivations?: boolean;
}

/**
 * Images through a branch, normalised by batch statistics: its running statistics are new afterwards, and a second pass goes
 * on from them.
 * @param x float32 [N, C, H, W]
 * @param project from features [N, featureDim] to what the loss compares
 */
export function trainingPass(
  { encoder, encoderConfig, bnSplits, checkpointActivations = false }: PassConfig,
  branch: Branch,
  x: Traced,
  project: (features: Traced, params: TracedParams, context: ForwardContext) => Traced,
): Traced {
  const { params } = branch;
  const updates = new Map<string, Traced>();
  const context = {
    config: encoderConfig,
    training: true,
    normalization: { splits: bnSplits },
    updates,
    checkpointActivations,
  };
  const projected = project(encoder.forward(context, params, x), params, context);
  branch.params = { ...params, ...Object.fromEntries(updates) };
  return projected;
}

/** The names of the encoder's parameters that no optimizer and no average may touch. */
export function frozenOf({
  encoder,
  encoderConfig,
}: Pick<PassConfig, 'encoder' | 'encoderConfig'>): ReadonlySet<string> {
  return new Set(encoder.frozen?.(encoderConfig));
}

/** @throws SettingError, in the names of a run's settings, when a batch doesn't split into groups of two images or more. */
export function checkBatch({
  batch,
  bnSplits,
  accumulate = 1,
}: Pick<PassConfig, 'batch' | 'bnSplits' | 'accumulate'>): void {
  if (batch % bnSplits === 0 && batch / bnSplits >= 2) return;
  const groups = say`can't be normalised in ${bnSplits} groups of two images or more`;
  throw new SettingError(
    accumulate === 1
      ? say`a batch of ${batch} ${groups}; change ${settingRef('batchSize')} or ${settingRef('bnSplits')}`
      : say`a micro-batch of ${batch}, a part by ${settingRef('accumulate', accumulate)}, ${groups}; change ${settingRef('accumulate')}, ${settingRef('batchSize')} or ${settingRef('bnSplits')}`,
    { value: batch * accumulate },
  );
}
