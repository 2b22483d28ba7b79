/** MoCo v3 (arXiv 2104.02057): one training step as a pure graph. No queue: keys are the other view's, of the same batch. */
import type { EncoderTraits, Params } from '../encoder.ts';
import { add, mul, stopGradient } from '../graph/ops/elementwise.ts';
import type { Traced } from '../graph/trace.ts';
import { normalize } from '../nn/layers.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { rng } from '../rng.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { prefixed } from '../train/branch.ts';
import { initSlots, type StateTypes, StepTracer, type TrainingStep } from '../train/step.ts';
import { emaUpdate } from './ema.ts';
import { featureStd, inBatchInfoNce, pairedAccuracy } from './losses.ts';
import { checkBatch, frozenOf, type PassConfig, trainingPass } from './pass.ts';
import { initProjector, type ProjectorConfig, projector } from './projector.ts';

export interface MocoV3Heads {
  /** Layers of the projector, which both encoders have; its last normalisation has no scale and shift. */
  readonly projectorLayers: number;
  /** Layers of the predictor, which queries alone pass. */
  readonly predictorLayers: number;
  /** Whether the predictor's output is normalised too. */
  readonly predictorNorm: boolean;
}

/** The paper's heads for ViTs (section 4.1: 3 and 2 layers, all normalised) and for ResNets (2 and 2, as BYOL's). */
export const mocoV3Heads: Readonly<Record<EncoderTraits['family'], MocoV3Heads>> = {
  vit: { projectorLayers: 3, predictorLayers: 2, predictorNorm: true },
  resnet: { projectorLayers: 2, predictorLayers: 2, predictorNorm: false },
};

export interface MocoV3Config extends Omit<PassConfig, 'accumulate'>, MocoV3Heads {
  /** The width between the heads' layers; the paper: 4096. */
  readonly hidden: number;
  /** The length of queries and keys; the paper: 256. */
  readonly dim: number;
  /** T > 0; the paper: .2 for ViTs, 1 for ResNets. */
  readonly temperature: number;
  readonly optimizer: Optimizer;
  /** Also output the gradients, as `grad.<name>`. */
  readonly exposeGradients?: boolean;
}

function headsOf(config: MocoV3Config): { projection: ProjectorConfig; prediction: ProjectorConfig } {
  const { encoder, encoderConfig, hidden, dim } = config;
  return {
    projection: projectionOf(config, encoder.featureDim(encoderConfig), config),
    prediction: {
      layers: config.predictorLayers,
      inputs: dim,
      hidden,
      outputs: dim,
      lastNorm: config.predictorNorm,
    },
  };
}

type Widths = Pick<MocoV3Config, 'hidden' | 'dim'>;

function projectionOf(
  { projectorLayers }: MocoV3Heads,
  featureDim: number,
  { hidden, dim }: Widths,
): ProjectorConfig {
  return { layers: projectorLayers, inputs: featureDim, hidden, outputs: dim, lastNorm: true };
}

/** The projector of a trained query encoder, for features with their head. */
export function mocoV3Projection(
  family: EncoderTraits['family'],
  featureDim: number,
  widths: Widths,
): ProjectorConfig {
  return projectionOf(mocoV3Heads[family], featureDim, widths);
}

/** A random encoder with its projector, which is named `fc.*` as the head of the other methods. */
export function initEncoderV3(config: MocoV3Config, seed: number): Params {
  const random = (name: string) => rng(seed, `init/${name}`);
  const params = config.encoder.init(config.encoderConfig, random);
  initProjector(params, 'fc', headsOf(config).projection, random);
  return params;
}

/**
 * The state before the first step: `q.*`, `k.*` (the same tensors), `predictor.*`, and the optimizer's slots.
 * @param params the query encoder's with its projector; default random
 */
export function mocoV3State(
  config: MocoV3Config,
  seed: number,
  params = initEncoderV3(config, seed),
): Record<string, Tensor> {
  const predictor: Params = {};
  initProjector(predictor, 'predictor', headsOf(config).prediction, (name) => rng(seed, `init/${name}`));
  return {
    ...prefixed('q', params),
    ...prefixed('k', params),
    ...predictor,
    ...initSlots(config.optimizer, { ...params, ...predictor }, frozenOf(config)),
  };
}

/**
 * The training step.
 * Feeds: `xq` and `xk` float32 [N, C, H, W], the two views; `momentum`, m as a scalar (see risingMomentum); and the
 * optimizer's scalars.
 * Metrics: `loss`; `acc1` and `acc5` (contrastive, percent, in the batch) and `featureStd` of the first view's queries.
 * @param state the types of {@link mocoV3State}
 * @throws SettingError when the batch doesn't split
 */
export function mocoV3Step(config: MocoV3Config, state: StateTypes): TrainingStep {
  checkBatch(config);
  const { encoder, encoderConfig, batch, replicas, temperature, optimizer } = config;
  const { projection, prediction } = headsOf(config);
  const step = new StepTracer(state, { replicas });
  const images = [batch, ...encoder.inputShape(encoderConfig)];
  const views = [step.feed('xq', images), step.feed('xk', images)] as const;
  const momentum = step.feed('momentum', []);
  const frozen = frozenOf(config);

  const q = step.branch('q', { also: 'predictor', frozen });
  const k = step.branch('k', { frozen });
  // k follows before it encodes. The paper's listing has it follow right after the optimizer: the same keys, since q and k
  // are equal at the start.
  k.params = emaUpdate(k.params, q.params, momentum, frozen);

  // All keys before the first query: what a query's gradient needs again is not yet held then.
  const encodeKey = (x: Traced): Traced => {
    const key = trainingPass(config, k, x, (features, params, context) =>
      projector(context, params, 'fc', features, projection),
    );
    return stopGradient(normalize(key));
  };
  const encodeQuery = (x: Traced): Traced => {
    const query = trainingPass(config, q, x, (features, params, context) => {
      const projected = projector(context, params, 'fc', features, projection);
      return projector(context, params, 'predictor', projected, prediction);
    });
    return normalize(query);
  };
  const [k1, k2] = [encodeKey(views[0]), encodeKey(views[1])];
  const [q1, q2] = [encodeQuery(views[0]), encodeQuery(views[1])];

  const first = inBatchInfoNce(q1, step.gathered(k2), temperature, replicas);
  const second = inBatchInfoNce(q2, step.gathered(k1), temperature, replicas);
  const loss = mul(add(first.loss, second.loss), 2 * temperature);
  step.metric('acc1', pairedAccuracy(first, 1));
  step.metric('acc5', pairedAccuracy(first, 5));
  step.metric('featureStd', featureStd(q1));
  step.metric('loss', loss);

  step.keep(q, 'buffers');
  step.keep(k, 'all');
  step.minimize(loss, q, optimizer, config.exposeGradients);
  return step.finish(optimizer);
}
