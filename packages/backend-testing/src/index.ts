export { type Case, caseOps, cases, casesOf, makeCase } from './cases/index.ts';
export { type Closeness, expectClose, expectSameBits } from './compare.ts';
export {
  differentiatedInputs,
  forwardGraph,
  type GradientGraph,
  gradientGraph,
  isDifferentiable,
  lossGraph,
} from './graphs.ts';
export { createReference, referenceBackend } from './reference-backend.ts';
export type { KitOptions } from './subject.ts';
export { testBackend } from './test-backend.ts';
export { type Factories, testTrajectories } from './test-trajectory.ts';
export { type TinyConfig, tinyEncoder } from './tiny-encoder.ts';
