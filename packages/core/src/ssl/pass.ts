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
  /** Images of a pass: of one replica, and where gradients are accumulated those of a micro-batch. */
  readonly batch: number;
  /** N, the micro-batches of an update, for methods that accumulate gradients. Default 1. */
  readonly accumulate?: number;
  /** R, the replicas that share the images of an update. Default 1. */
  readonly replicas?: number;
  /** Groups of batch normalisation; 1 is plain. */
  readonly bnSplits: number;
  /** Batch normalisation by the statistics of all replicas together (PyTorch's SyncBatchNorm). Default false: each has its own. */
  readonly bnSync?: boolean;
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
  {
    encoder,
    encoderConfig,
    bnSplits,
    bnSync = false,
    replicas = 1,
    checkpointActivations = false,
  }: PassConfig,
  branch: Branch,
  x: Traced,
  project: (features: Traced, params: TracedParams, context: ForwardContext) => Traced,
): Traced {
  const { params } = branch;
  const updates = new Map<string, Traced>();
  const context = {
    config: encoderConfig,
    training: true,
    normalization: { splits: bnSplits, ...(bnSync && { replicas }) },
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

/** How the images of an update are divided. */
export type BatchConfig = Pick<PassConfig, 'batch' | 'bnSplits' | 'accumulate' | 'replicas' | 'bnSync'>;

/** Images of an update, of all replicas. */
export const imagesOf = ({
  batch,
  accumulate = 1,
  replicas = 1,
}: Pick<PassConfig, 'batch' | 'accumulate' | 'replicas'>): number => batch * accumulate * replicas;

/** @throws SettingError, in the names of a run's settings, when a batch doesn't split into groups of two images or more. */
export function checkBatch(config: BatchConfig): void {
  const { batch, bnSplits, bnSync = false, accumulate = 1, replicas = 1 } = config;
  const group = ((bnSync ? replicas : 1) * batch) / bnSplits;
  if (batch % bnSplits === 0 && group >= 2) return;
  const groups = say`can't be normalised in ${bnSplits} groups of two images or more`;
  const each = replicas === 1 ? '' : ` on each of ${replicas} replicas`;
  throw new SettingError(
    accumulate === 1
      ? say`a batch of ${batch}${each} ${groups}; change ${settingRef('batchSize')} or ${settingRef('bnSplits')}`
      : say`a micro-batch of ${batch}${each}, a part by ${settingRef('accumulate', accumulate)}, ${groups}; change ${settingRef('accumulate')}, ${settingRef('batchSize')} or ${settingRef('bnSplits')}`,
    { value: imagesOf(config) },
  );
}
