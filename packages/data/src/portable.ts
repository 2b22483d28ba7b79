/** What of this package needs no Node: views, and the batches made of images that are decoded elsewhere. */
export type { DatasetSpec, ImageDataset, RgbImage } from './dataset.ts';
export { type ImageReader, type Job, type JobResult, runJob } from './loader/job.ts';
export {
  type Batch,
  type BatchOptions,
  type BatchPart,
  createLoaderOn,
  type Loader,
} from './loader/loader.ts';
export type { Pool } from './loader/pool.ts';
export { applyEvalTransform, clearSide, type Pixels, type Target } from './views/apply.ts';
export {
  IMAGENET_MEAN,
  IMAGENET_STD,
  type Numbers,
  type ViewConfig,
  type ViewName,
  type ViewOp,
  views,
} from './views/config.ts';
