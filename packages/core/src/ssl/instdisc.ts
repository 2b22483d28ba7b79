/**
 * InstDisc (Wu et al., arXiv 1805.01978): one training step as a pure graph. The dictionary is a memory bank with a slot
 * for each image of the data set, which holds features of past encoders.
 */
import type { Params } from '../encoder.ts';
import { SettingError } from '../errors.ts';
import { add, greater, mul, select, stopGradient, sub } from '../graph/ops/elementwise.ts';
import { gather, scatterAdd } from '../graph/ops/index-ops.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { mean, sum } from '../graph/ops/reduce.ts';
import { concat, reshape } from '../graph/ops/shape.ts';
import type { Traced } from '../graph/trace.ts';
import { say, settingRef } from '../message.ts';
import { normalize } from '../nn/layers.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { rng } from '../rng.ts';
import { filled, scalar, sizeOf, type Tensor } from '../tensor/tensor.ts';
import { prefixed } from '../train/branch.ts';
import { initSlots, type StateTypes, StepTracer, type TrainingStep } from '../train/step.ts';
import { type HeadConfig, head } from './head.ts';
import { contrastiveAccuracy, estimatePartition, featureStd, firstOfAll, nce } from './losses.ts';
import { initEncoder } from './moco.ts';
import { type BatchConfig, checkBatch, frozenOf, imagesOf, type PassConfig, trainingPass } from './pass.ts';

export interface InstDiscConfig extends PassConfig, HeadConfig {
  /** n, the number of images, each with a slot. */
  readonly slots: number;
  /** K, the number of noise samples. */
  readonly negatives: number;
  /**
   * `batch`: one draw for the whole batch, as MoCo's section 3.2 describes the bank; one matrix product.
   * `image`: a draw for each image, as InstDisc has it; holds N K features at once.
   */
  readonly draw: 'batch' | 'image';
  readonly loss: 'nce' | 'infonce';
  /** T > 0; the paper: .07. */
  readonly temperature: number;
  /** The weight of a slot's old value in its new one, in [0, 1]; the paper: .5. */
  readonly bankMomentum: number;
  /** lambda of the proximal term (eq. 9), which keeps features near their slots; default 0: without. The paper: 10 to 50. */
  readonly proximal?: number;
  readonly optimizer: Optimizer;
  /** Also output the gradients, as `grad.<name>`. */
  readonly exposeGradients?: boolean;
}

/** @throws SettingError, in the names of a run's settings, for settings that can't work */
export function checkInstDisc(config: BatchConfig & Pick<InstDiscConfig, 'slots' | 'negatives'>): void {
  checkBatch(config);
  const { slots, negatives } = config;
  const images = imagesOf(config);
  if (images > slots)
    throw new SettingError(
      say`a batch of ${images} has more images than the ${slots} of the data set; use a smaller ${settingRef('batchSize')}`,
      { value: images },
    );
  if (!(negatives >= 1))
    throw new SettingError(say`${settingRef('mocoK', negatives)} leaves no negatives; it must be at least 1`);
}

/** Normalised Gaussian noise: a random point on the sphere for each slot. [slots, dim]. */
export function initBank(slots: number, dim: number, seed: number): Tensor {
  const random = rng(seed, 'bank');
  const data = new Float32Array(slots * dim);
  const point = new Float64Array(dim);
  for (let slot = 0; slot < slots; slot++) {
    for (let d = 0; d < dim; d++) point[d] = random.normal();
    const length = Math.hypot(...point);
    for (let d = 0; d < dim; d++) data[slot * dim + d] = point[d]! / length;
  }
  return { shape: [slots, dim], dtype: 'float32', data };
}

/**
 * The state before the first step: `q.*`, `bank` [n, dim], the optimizer's slots, and for NCE `bank_z`: 0 until the first
 * batch has estimated Z.
 * @param params the encoder's; default random
 */
export function instDiscState(
  config: InstDiscConfig,
  seed: number,
  params: Params = initEncoder(config, seed),
): Record<string, Tensor> {
  return {
    ...prefixed('q', params),
    bank: initBank(config.slots, config.dim, seed),
    ...(config.loss === 'nce' ? { bank_z: scalar(0) } : {}),
    ...initSlots(config.optimizer, params, frozenOf(config)),
  };
}

/** The feed `negatives` of an update: slots from the noise distribution, uniform over all n with replacement. */
export function drawNegatives(
  config: Pick<InstDiscConfig, 'batch' | 'accumulate' | 'replicas' | 'slots' | 'negatives' | 'draw'>,
  seed: number,
  step: number,
): Tensor {
  const { slots, negatives, draw } = config;
  const shape = draw === 'batch' ? [negatives] : [imagesOf(config), negatives];
  const random = rng(seed, 'negatives', step);
  const data = new Int32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = random.integer(slots);
  return { shape, dtype: 'int32', data };
}

/**
 * The training step.
 * Feeds: `xq` float32 [N, C, H, W], one view; `index` int32 [N], the images' numbers, each at most once; `negatives`
 * int32 [K], or [N, K] with a draw for each image (see {@link drawNegatives}); and the optimizer's scalars.
 * Metrics: `loss`, `acc1` and `acc5` (contrastive, percent), `featureStd` of the features.
 * @param state the types of {@link instDiscState}
 * @throws SettingError when the batch doesn't split or is larger than the data set, or there are no negatives
 */
export function instDiscStep(config: InstDiscConfig, state: StateTypes): TrainingStep {
  checkInstDisc(config);
  const { encoder, encoderConfig, batch, slots, proximal = 0, optimizer } = config;
  const step = new StepTracer(state, config);
  const { bank } = step.state as { bank: Traced };
  const images = step.feed('xq', [batch, ...encoder.inputShape(encoderConfig)]);
  const index = step.feed('index', [batch], 'int32');
  const drawn = config.draw === 'batch' ? [config.negatives] : [batch, config.negatives];
  const negatives = step.feed('negatives', drawn, 'int32');

  const q = step.branch('q', { frozen: frozenOf(config) });
  const features = normalize(
    trainingPass(config, q, images, (pooled, params) => head(params, pooled, config)),
  );
  const own = gather(bank, index);
  const positive = sum(mul(features, own), [1], true);
  const similar = concat([positive, similarities(features, bank, negatives)], 1);
  const logits = mul(similar, 1 / config.temperature);

  let z: Traced | undefined;
  let loss: Traced;
  if (config.loss === 'nce') {
    const { bank_z: kept } = step.state as { bank_z: Traced };
    z = select(greater(kept, 0), kept, step.replicaMean(estimatePartition(logits, slots)));
    loss = nce(logits, z, slots);
  } else loss = firstOfAll(logits);
  if (proximal > 0) {
    const moved = sub(features, own);
    loss = add(loss, mul(mean(sum(mul(moved, moved), [1])), proximal));
  }
  step.metric('acc1', contrastiveAccuracy(logits, 1));
  step.metric('acc5', contrastiveAccuracy(logits, 5));
  step.metric('featureStd', featureStd(features));
  step.metric('loss', loss);

  step.keep(q, 'buffers');
  step.minimize(loss, q, optimizer, config.exposeGradients);
  // The bank changes last: the loss and its gradient saw the slots as earlier steps left them.
  // Z is constant from its estimate on, which is the first micro-batch's.
  if (z) step.setState('bank_z', z, true);
  const [slot, old, fresh] = [
    step.wholeBatch('index', index),
    step.wholeBatch('own', own),
    step.wholeBatch('features', stopGradient(features)),
  ];
  step.setState('bank', remember(bank, slot, old, fresh, config.bankMomentum));
  return step.finish(optimizer);
}

/** Products of each feature with its noise samples. features [N, D], bank [n, D], negatives [K] or [N, K] to [N, K]. */
function similarities(features: Traced, bank: Traced, negatives: Traced): Traced {
  if (negatives.shape.length === 1) return matmul(features, gather(bank, negatives), { transposeB: true });
  const [n, k] = negatives.shape as [number, number];
  const dim = features.shape[1]!;
  const noise = reshape(gather(bank, reshape(negatives, [n * k])), [n, k, dim]);
  return reshape(matmul(reshape(features, [n, 1, dim]), noise, { transposeB: true }), [n, k]);
}

/** The bank after a step: the batch's slots become momentum old + (1 - momentum) feature, scaled to unit length. */
function remember(bank: Traced, index: Traced, own: Traced, features: Traced, momentum: number): Traced {
  const slots = bank.shape[0]!;
  const fresh = normalize(add(mul(own, momentum), mul(features, 1 - momentum)));
  const ones = bank.builder.constant(filled([index.shape[0]!, 1], 1));
  // Chosen, not added as a difference: other slots keep every bit, and these get exactly unit rows.
  const written = greater(scatterAdd(ones, index, slots), 0);
  return select(written, scatterAdd(fresh, index, slots), bank);
}
