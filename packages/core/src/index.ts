export * from './backend.ts';
export * from './byte-source.ts';
export type { Communicator } from './communicator.ts';
export * from './encoder.ts';
export * from './errors.ts';
export * from './eval/features.ts';
export { type KnnOptions, knnAccuracy, type LabelledFeatures } from './eval/knn.ts';
export * from './eval/similarity.ts';
export { grad, gradients } from './grad.ts';
export {
  type Attribute,
  type Attributes,
  consumers,
  type Graph,
  hostType,
  type Node,
  type Port,
  portType,
  producers,
} from './graph/graph.ts';
export { defineOp, type GradContext, type Op, opNamed, opNames } from './graph/op.ts';
export * from './graph/ops/index.ts';
export { GraphBuilder, type Operand, Traced, trace } from './graph/trace.ts';
export * from './message.ts';
export * as nn from './nn/index.ts';
export { adamw } from './optim/adamw.ts';
export { lars } from './optim/lars.ts';
export * from './optim/optimizer.ts';
export * from './optim/schedule.ts';
export { sgd } from './optim/sgd.ts';
export * from './passes/passes.ts';
export { lossScaleOf, type Precision, precisions } from './passes/precision.ts';
export {
  asReplica,
  cutAtCollectives,
  type Exchanged,
  expectReplicas,
  type Stage,
} from './passes/stages.ts';
export * from './program.ts';
export { type Feed, interpret, interpretReplicas, referenceOps } from './reference/interpreter.ts';
export { noRandom, type Rng, rng } from './rng.ts';
export * from './safetensors.ts';
export {
  type ClassifierConfig,
  classifierState,
  classifierStep,
  featureEncoder,
} from './ssl/classifier.ts';
export * from './ssl/distill.ts';
export * from './ssl/ema.ts';
export * from './ssl/head.ts';
export {
  checkInstDisc,
  drawNegatives,
  type InstDiscConfig,
  instDiscState,
  instDiscStep,
} from './ssl/instdisc.ts';
export * from './ssl/losses.ts';
export * from './ssl/moco.ts';
export * from './ssl/moco-v3.ts';
export { checkBatch, frozenOf, type PassConfig, trainingPass } from './ssl/pass.ts';
export * from './ssl/projector.ts';
export * from './ssl/queue.ts';
export * from './ssl/simclr.ts';
export { unitRoundoff } from './tensor/reduced.ts';
export * from './tensor/tensor.ts';
export * from './text.ts';
export { pendingState } from './train/accumulation.ts';
export * from './train/branch.ts';
export * from './train/byte-images.ts';
export { microBatches, partOf, type Share } from './train/feeds.ts';
export * from './train/step.ts';
export * from './train/trainer.ts';
