/**
 * SEED (Fang et al., arXiv 2101.04731): one training step as a pure graph. A student learns the similarities that a trained network,
 * the teacher, sees between images. The teacher runs elsewhere: the step is fed its features.
 */
import { stopGradient } from '../graph/ops/elementwise.ts';
import type { Traced } from '../graph/trace.ts';
import { normalize } from '../nn/layers.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { scalar, type Tensor } from '../tensor/tensor.ts';
import { prefixed } from '../train/branch.ts';
import { initSlots, type StateTypes, StepTracer, type TrainingStep } from '../train/step.ts';
import { type HeadConfig, head } from './head.ts';
import { contrastiveAccuracy, distillation, featureStd } from './losses.ts';
import { checkMoco, initEncoder } from './moco.ts';
import { type BatchConfig, frozenOf, type PassConfig, trainingPass } from './pass.ts';
import { enqueue, initQueue } from './queue.ts';

/** `dim` is the length of the teacher's features. */
export interface DistillConfig extends PassConfig, HeadConfig {
  /** K, the number of teacher features in the queue. */
  readonly queueSize: number;
  /** T_s > 0, of the student's similarities; the paper: .2. */
  readonly temperature: number;
  /** T_t > 0, of the teacher's; the paper: .01. */
  readonly teacherTemperature: number;
  readonly optimizer: Optimizer;
  /** Also output the gradients, as `grad.<name>`. */
  readonly exposeGradients?: boolean;
}

/** @throws SettingError, in the names of a run's settings, when the queue would wrap unevenly or a batch would not split */
export function checkDistill(config: BatchConfig & Pick<DistillConfig, 'queueSize'>): void {
  checkMoco({ ...config, symmetric: false });
}

/**
 * The state before the first step: `q.*`, `queue` [dim, K], `queue_ptr`, and the optimizer's slots.
 * @param params the student's; default random
 */
export function distillState(
  config: DistillConfig,
  seed: number,
  params = initEncoder(config, seed),
): Record<string, Tensor> {
  return {
    ...prefixed('q', params),
    queue: initQueue(config.dim, config.queueSize, seed),
    queue_ptr: scalar(0, 'int32'),
    ...initSlots(config.optimizer, params, frozenOf(config)),
  };
}

/**
 * The training step.
 * Feeds: `xq` float32 [N, C, H, W], one view; `teacher` float32 [N, dim], the teacher's features of it, of any length; and the
 * optimizer's scalars.
 * Metrics: `loss`; `divergence`, what of it the student can still lose, in nats; `acc1` and `acc5` (percent): how often the image's own
 * teacher feature is among the nearest of 1 + K; `featureStd` of the student's.
 * @param state the types of {@link distillState}
 * @throws SettingError when K is no multiple of the batch, or the batch doesn't split
 */
export function distillStep(config: DistillConfig, state: StateTypes): TrainingStep {
  checkDistill(config);
  const { encoder, encoderConfig, batch, dim, temperature, teacherTemperature, optimizer } = config;
  const step = new StepTracer(state, config);
  const { queue, queue_ptr: pointer } = step.state as { queue: Traced; queue_ptr: Traced };
  const images = step.feed('xq', [batch, ...encoder.inputShape(encoderConfig)]);
  const teacher = stopGradient(normalize(step.feed('teacher', [batch, dim])));

  const q = step.branch('q', { frozen: frozenOf(config) });
  const student = normalize(
    trainingPass(config, q, images, (features, params) => head(params, features, config)),
  );
  const temperatures = { student: temperature, teacher: teacherTemperature };
  const { loss, divergence, logits } = distillation(student, teacher, queue, temperatures);
  step.metric('acc1', contrastiveAccuracy(logits, 1));
  step.metric('acc5', contrastiveAccuracy(logits, 5));
  step.metric('featureStd', featureStd(student));
  step.metric('divergence', divergence);
  step.metric('loss', loss);

  step.keep(q, 'buffers');
  step.minimize(loss, q, optimizer, config.exposeGradients);
  // The queue changes last: an image is told from those of earlier steps.
  const after = enqueue(queue, pointer, step.wholeBatch('teacher', teacher));
  step.setState('queue', after.queue);
  step.setState('queue_ptr', after.pointer);
  return step.finish(optimizer);
}
