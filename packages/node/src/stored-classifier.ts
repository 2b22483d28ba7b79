/** The metadata of a classifier's file, checked as flags are. */
import { CheckpointError, printable, UserError } from '@moco-ts/core';
import { checkSettings, currentNames, storedConfig } from '@moco-ts/run';

/** What `lincls` and `finetune` set; `holdOut` may be missing. */
const needed = ['epochs', 'batchSize', 'lr', 'momentum', 'wd', 'schedule', 'cos', 'cropMin', 'seed', 'data'];

/**
 * @param text JSON of a `ClassifierInfo`, which it is when this returns
 * @throws CheckpointError when it is no JSON, UserError for values that no classifier has
 */
export function storedClassifier(text: string, source: string): unknown {
  let info: Record<string, unknown> | null;
  try {
    info = currentNames(JSON.parse(text)) as typeof info;
  } catch {
    throw new CheckpointError(`${source} is damaged: its settings can't be read`);
  }
  const refuse = (fault: string): never => {
    throw new UserError(`${source} stores settings that no classifier has: ${fault}`, {
      code: 'checkpoint-invalid',
    });
  };
  const { recipe, run, encoder, classes, epoch, moco, ...measures } = info ?? {};
  if (typeof recipe !== 'object' || recipe === null) return refuse('its recipe is missing.');
  const settings = recipe as Record<string, unknown>;
  for (const key of needed) if (settings[key] === undefined) refuse(`${key} is missing.`);
  checkSettings(settings, source);
  if (settings.train !== 'linear' && settings.train !== 'all') refuse('train is neither linear nor all.');
  if (typeof settings.cacheFeatures !== 'boolean') refuse('cacheFeatures is neither true nor false.');
  if (typeof encoder !== 'string') refuse('its encoder is missing.');
  const names = Array.isArray(classes) && classes.every((name) => typeof name === 'string');
  if (!names || classes.length === 0) refuse('its classes are no list of names.');
  if (!Number.isSafeInteger(epoch) || (epoch as number) < 0) refuse('epoch is no number of epochs.');
  for (const key of ['acc1', 'acc5', 'bestAcc1'])
    if (!isPercent(measures[key])) refuse(`${key} is no number from 0 to 100.`);
  return {
    ...info,
    run: storedConfig(run, source),
    moco: typeof moco === 'string' ? printable(moco, 40) : '',
  };
}

const isPercent = (value: unknown) => typeof value === 'number' && value >= 0 && value <= 100;
