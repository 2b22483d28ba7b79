export {
  type Dimension,
  type Domain,
  type ModelOptions,
  type OnnxAttribute,
  OnnxBuilder,
  type OnnxNode,
} from './builder.ts';
export {
  calibrationModel,
  type ExportOptions,
  exportEncoder,
  magnitudeModel,
  type Precision,
  type Preprocess,
} from './export.ts';
export { type ModelDemands, modelDemands } from './inspect.ts';
export { type Lowering, lowerNodes, PlainLowering, type Rule, type Rules } from './lowering.ts';
export { elementwiseTypes, positive } from './ops/elementwise.ts';
export { poolOptions } from './ops/linear.ts';
export { inverseDeviation } from './ops/norm.ts';
export { largestHalf } from './precision/float16.ts';
export type { Range } from './precision/static.ts';
export { portableRules } from './rules.ts';
