import { quoted, say, settingRef, type Wording } from '@moco-ts/core';
import type { ImageDataset } from '@moco-ts/data';
import type { Meters, RunConfig } from '@moco-ts/run';

/** Of a step, spent waiting for images. */
const WORTH_SAYING = 1 / 3;
/** Seconds of an epoch, below which the start of the workers decides. */
const LEAST_SECONDS = 30;

/** What to say of an epoch in which steps waited for their images; undefined where they hardly did. */
export function slowData(
  { time, data }: Pick<Meters, 'time' | 'data'>,
  config: Pick<RunConfig, 'workers' | 'data' | 'imageSize' | 'teacher' | 'cacheTeacher'>,
  dataset: Pick<ImageDataset, 'share'>,
): Wording | undefined {
  const { workers, data: name, imageSize, teacher, cacheTeacher } = config;
  const share = data.average / time.average;
  if (time.state.sum < LEAST_SECONDS || !(share > WORTH_SAYING)) return undefined;
  const percent = (100 * share).toFixed(0);
  if (teacher !== undefined && !cacheTeacher)
    return say`the teacher is the bottleneck: steps wait for its features ${percent} % of their time; ${settingRef('cacheTeacher')} asks it once for each image, without views`;
  // Others have nothing to shrink.
  const isFolder = dataset.share?.().kind === 'files' && !/^(emoji$|object:)/.test(name);
  const smaller = isFolder
    ? say`, or train on a smaller copy, which shrink makes: ${settingRef('size', 2 * imageSize, `moco shrink ${quoted(name)}`)}`
    : '';
  return say`decoding is the bottleneck: steps wait for images ${percent} % of their time; raise ${settingRef('workers', workers)} if cores are idle${smaller}`;
}
