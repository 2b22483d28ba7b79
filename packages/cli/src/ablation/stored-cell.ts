/** Checks a cell's file before its results enter a report. */
import { printable, UserError } from '@moco-ts/core';
import { type Measures, measureNames } from '@moco-ts/node';
import { currentNames, type RunConfig, storedConfig } from '@moco-ts/run';

/** What was trained, and what came of it. */
export interface Outcome {
  readonly config: RunConfig;
  /** Of the data set. */
  readonly images: number;
  /** Missing when the loss was no number. */
  readonly measures?: Measures;
  readonly failure?: string;
  readonly seconds: number;
  readonly moco: string;
}

/**
 * @param path of the file, for messages
 * @throws UserError for a text that no version of this program wrote
 */
export function storedCell(text: string, path: string): Outcome {
  const refuse = (fault: string): never => {
    throw new UserError(
      `${path} is no cell of an ablation: ${fault}; remove it, and the cell is trained again`,
    );
  };
  let cell: Partial<Record<keyof Outcome, unknown>>;
  try {
    cell = Object(currentNames(JSON.parse(text)));
  } catch {
    return refuse('it is no JSON');
  }
  const { config, images, measures, failure, seconds, moco } = cell;
  if (config === undefined) return refuse('it has no config');
  if (!Number.isSafeInteger(images) || (images as number) < 1) refuse('images is no number of images');
  if (!(typeof seconds === 'number' && seconds >= 0)) refuse('seconds is no time');
  if (failure !== undefined && typeof failure !== 'string') refuse('failure is no text');
  return {
    config: storedConfig(config, path),
    images: images as number,
    ...(measures !== undefined && {
      measures: areMeasures(measures) ? measures : refuse('measures are no percentages'),
    }),
    ...(failure !== undefined && { failure: printable(failure as string, 300) }),
    seconds: seconds as number,
    moco: typeof moco === 'string' ? printable(moco, 40) : '',
  };
}

/** At least one of those that are known, and nothing else. */
function areMeasures(value: unknown): value is Measures {
  const entries = Object.entries(Object(value));
  return (
    entries.length > 0 &&
    entries.every(
      ([name, percent]) =>
        measureNames.includes(name as keyof Measures) &&
        typeof percent === 'number' &&
        percent >= 0 &&
        percent <= 100,
    )
  );
}
