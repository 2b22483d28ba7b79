/** Data sets, views and the loader. */
export type {
  DatasetSpec,
  DecodeOptions,
  ImageDataset,
  RawImages,
  RgbImage,
  SharedImages,
  Split,
} from './dataset.ts';
export { codepointsOf, type Designer } from './datasets/emoji.ts';
export { nameOfText, pathOf } from './datasets/names.ts';
export { decodeBytes, decodeFile } from './decode.ts';
export { byteDuplicates } from './duplicates.ts';
export { encodePng, imageOf } from './encode.ts';
export { createGate, type Gate } from './gate.ts';
export { type LabelledSet, type LabelledSplits, labelled, labelSplits } from './labels.ts';
export { createLoader, type LoaderOptions } from './loader/create.ts';
export { type EvalOptions, type ImageBatch, loadEval, type ReadOptions } from './loader/eval.ts';
export type { Look } from './loader/job.ts';
export type { Batch, BatchOptions, BatchPart, Loader } from './loader/loader.ts';
export { lookAtImages } from './loader/look.ts';
export { createPool, type Pool } from './loader/pool.ts';
export { shrinkImages } from './loader/shrink.ts';
export { createSkipLog, mostDamaged, type SkippedImage } from './loader/skips.ts';
export { ifDamaged, MachineError } from './machine.ts';
export {
  HELD_OUT,
  heldOut,
  type OpenOptions,
  openDataset,
  openSplits,
  openTest,
  reopenDataset,
  type Splits,
} from './open.ts';
export { checkedImage, defineDataset, type OwnDataset } from './own.ts';
export {
  type Embed,
  type Embedded,
  embedAll,
  evalImages,
  evaluateRetrieval,
  type ImageSequence,
  neighbourAccuracy,
  type RetrievalName,
  type RetrievalOptions,
  type RetrievalRound,
  type RetrievalTask,
  retrievalTask,
  retrievalTasks,
} from './retrieval.ts';
export { copyNames } from './shrink.ts';
export { divide, subset } from './subset.ts';
export { type Survey, surveyOf } from './survey.ts';
export { applyEvalTransform, applyView, clearSide, type Pixels, type Target } from './views/apply.ts';
export {
  classifierView,
  type Numbers,
  sameView,
  type ViewConfig,
  type ViewName,
  type ViewOp,
  type ViewOptions,
  views,
} from './views/config.ts';
export { resize } from './views/resize.ts';
export { type AppliedOp, type Box, sampleView, type ViewParams } from './views/sample.ts';
export { some } from './words.ts';
