/** A linear classifier on an encoder: the linear probe (MoCo, arXiv 1911.05722, section 4.1) and fine-tuning. */
import { defineEncoder, type Encoder, type Params, type TracedParams } from '../encoder.ts';
import { UserError } from '../errors.ts';
import { reshape } from '../graph/ops/shape.ts';
import type { Traced } from '../graph/trace.ts';
import { normalOf } from '../nn/init.ts';
import { linear } from '../nn/layers.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { rng } from '../rng.ts';
import { filled, type Tensor } from '../tensor/tensor.ts';
import { prefixed, under } from '../train/branch.ts';
import { initSlots, type StateTypes, StepTracer, type TrainingStep } from '../train/step.ts';
import { withoutHead } from './head.ts';
import { crossEntropy, labelAccuracy } from './losses.ts';
import { frozenOf, type PassConfig, trainingPass } from './pass.ts';

export interface ClassifierConfig extends Omit<PassConfig, 'accumulate' | 'replicas' | 'bnSync'> {
  /** C, the number of classes. */
  readonly classes: number;
  /**
   * `linear`: the encoder is frozen, in evaluation mode (running statistics), and the classifier alone is trained.
   * `all`: everything is trained, normalised by batch statistics.
   */
  readonly train: 'linear' | 'all';
  readonly optimizer: Optimizer;
  /** Also output the gradients, as `grad.<name>`. */
  readonly exposeGradients?: boolean;
}

/** The classifier `fc` as the official linear probe starts it: N(0, .01), bias 0. */
export function initClassifier(featureDim: number, classes: number, seed: number): Params {
  return {
    'fc.weight': normalOf([classes, featureDim], 0.01, rng(seed, 'init/classifier/fc.weight')),
    'fc.bias': filled([classes], 0),
  };
}

function frozenNames(
  config: ClassifierConfig,
  params: Readonly<Record<string, unknown>>,
): ReadonlySet<string> {
  if (config.train === 'all') return frozenOf(config);
  return new Set(Object.keys(withoutHead(params)));
}

/**
 * The state before the first step: `q.*` with the classifier as `q.fc.*`, and the optimizer's slots.
 * @param backbone the encoder's parameters; a head in `fc.*` is left out
 * @throws UserError for fewer than two classes
 */
export function classifierState(
  config: ClassifierConfig,
  seed: number,
  backbone: Params,
): Record<string, Tensor> {
  const { encoder, encoderConfig, classes, optimizer } = config;
  if (!(classes >= 2)) throw new UserError(`a classifier of ${classes} classes: there must be two or more`);
  const params = {
    ...withoutHead(backbone),
    ...initClassifier(encoder.featureDim(encoderConfig), classes, seed),
  };
  return { ...prefixed('q', params), ...initSlots(optimizer, params, frozenNames(config, params)) };
}

/**
 * The training step.
 * Feeds: `x` float32 [N, C, H, W]; `label` int32 [N], from 0; and the optimizer's scalars.
 * Metrics: `loss` (mean cross entropy), `acc1` and `acc5` in percent.
 * @param state the types of {@link classifierState}
 */
export function classifierStep(config: ClassifierConfig, state: StateTypes): TrainingStep {
  const { encoder, encoderConfig, batch, optimizer } = config;
  const step = new StepTracer(state);
  const x = step.feed('x', [batch, ...encoder.inputShape(encoderConfig)]);
  const label = step.feed('label', [batch], 'int32');
  const frozen = frozenNames(config, under('q', step.state));
  const q = step.branch('q', { frozen });
  const classify = (features: Traced, params: TracedParams) => linear(params, 'fc', features);
  let logits: Traced;
  if (config.train === 'all') {
    logits = trainingPass(config, q, x, classify);
    step.keep(q, 'buffers');
  } else {
    const context = {
      config: encoderConfig,
      training: false,
      normalization: { splits: 1 },
      updates: new Map(),
    };
    logits = classify(encoder.forward(context, q.params, x), q.params);
  }
  const loss = crossEntropy(logits, label);
  step.metric('acc1', labelAccuracy(logits, label, 1));
  step.metric('acc5', labelAccuracy(logits, label, 5));
  step.metric('loss', loss);
  step.minimize(loss, q, optimizer, config.exposeGradients);
  return step.finish(optimizer);
}

/** An encoder whose input is features already, as [N, dim, 1, 1]: a classifier on it is trained on features kept in memory. */
export function featureEncoder(dim: number): Encoder {
  return defineEncoder({
    name: 'features',
    inputShape: () => [dim, 1, 1],
    featureDim: () => dim,
    init: () => ({}),
    forward: (_, __, x) => reshape(x, [x.shape[0]!, dim]),
  });
}
