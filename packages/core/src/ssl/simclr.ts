/** SimCLR (arXiv 2002.05709): one training step as a pure graph. One encoder, trained end to end through both views. */
import { concat, slice } from '../graph/ops/shape.ts';
import { normalize } from '../nn/layers.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { prefixed } from '../train/branch.ts';
import { initSlots, type StateTypes, StepTracer, type TrainingStep } from '../train/step.ts';
import { type HeadConfig, head } from './head.ts';
import { featureStd, ntXent, pairedAccuracy } from './losses.ts';
import { initEncoder } from './moco.ts';
import { checkBatch, frozenOf, type PassConfig, trainingPass } from './pass.ts';

export interface SimclrConfig extends Omit<PassConfig, 'accumulate'>, HeadConfig {
  /** T > 0. */
  readonly temperature: number;
  readonly optimizer: Optimizer;
  /** Also output the gradients, as `grad.<name>`. */
  readonly exposeGradients?: boolean;
}

/**
 * The state before the first step: `q.*` and the optimizer's slots.
 * @param params the encoder's; default random
 */
export function simclrState(
  config: SimclrConfig,
  seed: number,
  params = initEncoder(config, seed),
): Record<string, Tensor> {
  return { ...prefixed('q', params), ...initSlots(config.optimizer, params, frozenOf(config)) };
}

/**
 * The training step.
 * Feeds: `xq` and `xk` float32 [N, C, H, W], the two views, and the optimizer's scalars.
 * Metrics: `loss`; `acc1` and `acc5` (contrastive, percent, among the 2N - 1 other views, of R replicas 2 R N - 1) and `featureStd`
 * over all views.
 *
 * Both views pass as one batch of 2N, as in the paper's programs: they share the statistics of batch normalisation.
 * @param state the types of {@link simclrState}
 * @throws SettingError when the batch doesn't split
 */
export function simclrStep(config: SimclrConfig, state: StateTypes): TrainingStep {
  checkBatch(config);
  const { encoder, encoderConfig, batch, replicas, dim, temperature, optimizer } = config;
  const step = new StepTracer(state, { replicas });
  const images = [batch, ...encoder.inputShape(encoderConfig)];
  const views = concat([step.feed('xq', images), step.feed('xk', images)], 0);
  const q = step.branch('q', { frozen: frozenOf(config) });
  const features = normalize(
    trainingPass(config, q, views, (pooled, params) => head(params, pooled, config)),
  );
  const [first, second] = [slice(features, [0, 0], [batch, dim]), slice(features, [batch, 0], [batch, dim])];

  const paired = ntXent(first, second, temperature, replicas);
  step.metric('acc1', pairedAccuracy(paired, 1));
  step.metric('acc5', pairedAccuracy(paired, 5));
  step.metric('featureStd', featureStd(features));
  step.metric('loss', paired.loss);
  step.keep(q, 'buffers');
  step.minimize(paired.loss, q, optimizer, config.exposeGradients);
  return step.finish(optimizer);
}
