/**
 * MoCo v1 (arXiv 1911.05722) and v2 (arXiv 2003.04297): one training step as a pure graph.
 * The two differ by the head, the temperature and the views, not by the step.
 */
import type { Params } from '../encoder.ts';
import { SettingError } from '../errors.ts';
import { ownRows } from '../graph/ops/collective.ts';
import { add, stopGradient } from '../graph/ops/elementwise.ts';
import { gather, scatterAdd } from '../graph/ops/index-ops.ts';
import { concat } from '../graph/ops/shape.ts';
import type { Traced } from '../graph/trace.ts';
import { say, settingRef } from '../message.ts';
import { normalize } from '../nn/layers.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { rng } from '../rng.ts';
import { scalar, type Tensor } from '../tensor/tensor.ts';
import { type Branch, prefixed } from '../train/branch.ts';
import { initSlots, type StateTypes, StepTracer, type TrainingStep } from '../train/step.ts';
import { emaUpdate } from './ema.ts';
import { type HeadConfig, head, initHead } from './head.ts';
import { contrastiveAccuracy, featureStd, infoNce } from './losses.ts';
import { type BatchConfig, checkBatch, frozenOf, imagesOf, type PassConfig, trainingPass } from './pass.ts';
import { enqueue, initQueue } from './queue.ts';

export interface MocoConfig extends PassConfig, HeadConfig {
  /** K, the number of keys in the queue. */
  readonly queueSize: number;
  /** m, the momentum of the key encoder, in [0, 1]. */
  readonly momentum: number;
  /** T > 0. */
  readonly temperature: number;
  /**
   * Keys are encoded in the order of the feed `perm`, a permutation of the images of all replicas, so that their normalisation groups
   * are not the queries': those within a replica, and the replicas themselves. Both directions of `symmetric` use the same one.
   */
  readonly shuffle: boolean;
  /** Each view is query once and key once; the two losses are added. */
  readonly symmetric: boolean;
  readonly optimizer: Optimizer;
  /** Also output the gradients, as `grad.<name>`. */
  readonly exposeGradients?: boolean;
}

/** @throws SettingError, in the names of a run's settings, when the queue would wrap unevenly or a batch would not split */
export function checkMoco(config: BatchConfig & Pick<MocoConfig, 'queueSize' | 'symmetric'>): void {
  const { queueSize, symmetric } = config;
  const keys = (symmetric ? 2 : 1) * imagesOf(config);
  if (queueSize < keys || queueSize % keys !== 0) {
    const nearest = Math.max(1, Math.round(queueSize / keys)) * keys;
    throw new SettingError(
      say`${settingRef('mocoK', queueSize)} is no multiple of the ${keys} keys of a step; the nearest that fits is ${nearest}`,
    );
  }
  checkBatch(config);
}

/** A random encoder with its head, by torchvision's names. */
export function initEncoder(
  { encoder, encoderConfig, ...headConfig }: Pick<MocoConfig, 'encoder' | 'encoderConfig' | 'mlp' | 'dim'>,
  seed: number,
): Params {
  const random = (name: string) => rng(seed, `init/${name}`);
  const params = encoder.init(encoderConfig, random);
  initHead(params, encoder.featureDim(encoderConfig), headConfig, random);
  return params;
}

/**
 * The state before the first step: `q.*`, `k.*` (the same tensors), `queue` [dim, K], `queue_ptr`, and the optimizer's slots.
 * @param params the query encoder's; default random
 */
export function mocoState(
  config: MocoConfig,
  seed: number,
  params = initEncoder(config, seed),
): Record<string, Tensor> {
  return {
    ...prefixed('q', params),
    ...prefixed('k', params),
    queue: initQueue(config.dim, config.queueSize, seed),
    queue_ptr: scalar(0, 'int32'),
    ...initSlots(config.optimizer, params, frozenOf(config)),
  };
}

/**
 * The training step.
 * Feeds: `xq` and `xk` float32 [N, C, H, W], `perm` int32 [R N] with `shuffle`, and the optimizer's scalars.
 * Metrics: `loss`, `acc1` and `acc5` (contrastive, percent), `featureStd` of the queries.
 * @param state the types of {@link mocoState}
 * @throws SettingError when K is no multiple of the keys of a step, or the batch doesn't split
 */
export function mocoStep(config: MocoConfig, state: StateTypes): TrainingStep {
  checkMoco(config);
  const { encoder, encoderConfig, batch, replicas = 1, momentum, temperature, optimizer } = config;
  const step = new StepTracer(state, config);
  const frozen = frozenOf(config);
  const { queue, queue_ptr: pointer } = step.state as { queue: Traced; queue_ptr: Traced };
  const images = [batch, ...encoder.inputShape(encoderConfig)];
  const views = [step.feed('xq', images), step.feed('xk', images)] as const;
  const perm = config.shuffle ? step.feed('perm', [replicas * batch], 'int32') : undefined;

  const q = step.branch('q', { frozen });
  const k = step.branch('k', { frozen });
  k.params = emaUpdate(k.params, q.params, momentum, frozen);
  const encode = (branch: Branch, x: Traced): Traced =>
    trainingPass(config, branch, x, (features, params) => normalize(head(params, features, config)));
  /** A replica's own rows of what {@link StepTracer.gathered} gives. */
  const own = (rows: Traced): Traced => (replicas === 1 ? rows : ownRows(rows, replicas));
  /** The keys of a replica's images, and those of all. */
  const encodeKeys = (x: Traced): { mine: Traced; all: Traced } => {
    if (!perm) {
      const mine = stopGradient(encode(k, x));
      return { mine, all: step.gathered(mine) };
    }
    const shuffled = encode(k, gather(step.gathered(x), own(perm)));
    const all = stopGradient(scatterAdd(step.gathered(shuffled), perm, replicas * batch));
    return { mine: own(all), all };
  };

  const directions = config.symmetric ? [views, [views[1], views[0]] as const] : [views];
  // All keys before the first query: what a query's gradient needs again is not yet held then.
  const keys = directions.map(([, xk]) => encodeKeys(xk));
  const losses = directions.map(([xq], direction) => {
    const query = encode(q, xq);
    const { loss, logits } = infoNce(query, keys[direction]!.mine, queue, temperature);
    if (direction === 0) {
      step.metric('acc1', contrastiveAccuracy(logits, 1));
      step.metric('acc5', contrastiveAccuracy(logits, 5));
      step.metric('featureStd', featureStd(query));
    }
    return loss;
  });
  const loss = losses.reduce((total, part) => add(total, part));
  step.metric('loss', loss);

  step.keep(q, 'buffers');
  step.keep(k, 'all');
  step.minimize(loss, q, optimizer, config.exposeGradients);

  // The queue changes last: the loss of this step and its gradient saw the keys of earlier ones alone.
  // With two directions the keys of the first view go first: they are those of the second direction.
  const added = keys.reverse().map(({ all }, direction) => step.wholeUpdate(`keys.${direction}`, all));
  const after = enqueue(queue, pointer, concat(added, 0));
  step.setState('queue', after.queue);
  step.setState('queue_ptr', after.pointer);
  return step.finish(optimizer);
}
