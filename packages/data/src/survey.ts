/** What a few images of a set show: how large they are, and what a user should know of all of them. */
import type { ImageDataset } from './dataset.ts';
import { ifDamaged } from './machine.ts';

export interface Survey {
  /** Of an image as RGB bytes, on average; undefined where none can be read. */
  readonly bytes?: number;
  /** Lines that name the data. */
  readonly notes: readonly string[];
}

/** Images that are decoded, spread over the set. */
const TRIED = 8;
/** Number of values to examine in each image. */
const VALUES = 2 ** 20;
/**
 * Values of all images within less than this are nearly constant: 14 bits or fewer in 16 give at most 0 to 63, numbers of
 * classes are few.
 */
const NARROW = 64;

const surveys = new WeakMap<ImageDataset, Promise<Survey>>();

/**
 * Examines a few images, once for each data set.
 * @throws what decoding throws, except for damaged images
 */
export function surveyOf(dataset: ImageDataset): Promise<Survey> {
  let survey = surveys.get(dataset);
  if (survey === undefined) {
    survey = look(dataset);
    surveys.set(dataset, survey);
  }
  return survey;
}

async function look(dataset: ImageDataset): Promise<Survey> {
  const tried = Math.min(TRIED, dataset.length);
  const seen = new Map<string, string>();
  let [bytes, good, low, high] = [0, 0, 255, 0];
  for (let i = 0; i < tried; i++) {
    const index = Math.floor((i * dataset.length) / tried);
    const image = await dataset.decode(index).catch(ifDamaged);
    if (image === undefined) continue;
    const { data, note } = image;
    if (note !== undefined && !seen.has(note)) seen.set(note, dataset.id(index));
    // Odd, so that all three colours are met.
    const step = 2 * Math.floor(data.length / VALUES / 2) + 1;
    for (let at = 0; at < data.length; at += step) {
      const value = data[at]!;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    bytes += data.length;
    good++;
  }
  if (good === 0) return { notes: [] };
  const notes = [...seen].map(([note, id]) => `${dataset.name}: ${note}, in ${id} for one`);
  if (high - low < NARROW)
    notes.push(
      `${dataset.name}: nearly constant: ${good} of its images hold values of ${low} to ${high} alone, where white is 255; if they are 10 to 14 bits in 16, or numbers of classes, scale them first`,
    );
  return { bytes: bytes / good, notes };
}
