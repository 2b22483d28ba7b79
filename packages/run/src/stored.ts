/** Settings read from files of any origin, checked as flags are. */
import { type About, CheckpointError, printable, SettingError, type UserError } from '@moco-ts/core';
import { checkSizes, withDefaults } from './config.ts';
import type { TimeRecord } from './course.ts';
import type { MeterStates } from './meters.ts';
import { isMethod } from './registry.ts';
import { currentSettings, type RunConfig, settingEntries, settingsFault } from './table.ts';

/** What there is no default for. */
const needed = ['data', 'method', 'arch', 'imageSize'] as const;

/**
 * The configuration of a run as a file holds it. Settings that came with later versions than the file have their defaults;
 * those that this version does not know are left out. A method whose plugin is not loaded stays a name: an encoder can be
 * used without what trained it.
 * @param source the file, for messages
 * @throws SettingError for a setting that no flag could give
 */
export function storedConfig(value: unknown, source: string): RunConfig {
  const table = new Set<string>(settingEntries().map(([key]) => key));
  const entries = Object.entries(plainObject(value, source)).filter(([key]) => table.has(key));
  const config: Readonly<Record<string, unknown>> = currentSettings(Object.fromEntries(entries));
  for (const key of needed)
    if (config[key] === undefined)
      refuse(source, `${key} is missing.`, { code: 'setting-missing', setting: key });
  const { method, ...rest } = config;
  const unloaded = typeof method === 'string' && config.plugin !== undefined && !isMethod(method);
  checkSettings(unloaded ? rest : config, source);
  for (const key of ['arch', 'backend', 'method'] as const)
    if (/\p{C}/u.test(String(config[key] ?? '')))
      refuse(source, `${key} is ${config[key]}, no name.`, { setting: key, value: config[key] });
  const complete = withDefaults(config as Partial<RunConfig> & Pick<RunConfig, (typeof needed)[number]>);
  try {
    checkSizes(complete);
  } catch (error) {
    refuse(source, (error as UserError).message, error as UserError);
  }
  return complete;
}

/**
 * Judges settings by their names.
 * @throws SettingError
 */
export function checkSettings(given: object, source: string): void {
  const fault = settingsFault(given);
  if (fault !== undefined) refuse(source, fault.message, fault);
}

/** The metadata beside a checkpoint's tensors. @throws CheckpointError for a position that is none, SettingError for settings that no run has */
export function storedInfo(value: unknown, source: string) {
  const info = (isPlain(value) ? value : damaged(source, 'they are none.')) as Readonly<
    Record<string, unknown>
  >;
  const { epoch, step, globalStep, images = 0, losses, meters, time, commit, replicas = 1, moco } = info;
  const numbers = { epoch, step, globalStep, images, replicas };
  for (const [key, number] of Object.entries(numbers))
    if (!Number.isSafeInteger(number) || (number as number) < 0 || (number as number) > MOST)
      damaged(source, `${key} is no number of a run.`);
  // A loss that was no number is null in JSON.
  if (!Array.isArray(losses) || !losses.every((loss) => loss === null || isNumber(loss)))
    damaged(source, 'losses are no list of numbers.');
  if (time !== undefined && !isTime(time)) damaged(source, 'time is none of a run.');
  if (meters !== undefined && !areMeters(meters)) damaged(source, 'meters are no means of an epoch.');
  return {
    epoch: epoch as number,
    step: step as number,
    globalStep: globalStep as number,
    config: storedConfig(info.config, source),
    images: images as number,
    losses: losses as number[],
    ...(meters !== undefined && { meters: meters as MeterStates }),
    ...(time !== undefined && { time: time as TimeRecord }),
    ...(replicas !== 1 && { replicas: replicas as number }),
    // Only for printing: anything that is no commit is dropped.
    ...(typeof commit === 'string' && /^[0-9a-f]{7,64}(-dirty)?$/.test(commit) && { commit }),
    moco: typeof moco === 'string' ? printable(moco, 40) : '',
  };
}

/** More than any run has. */
const MOST = 1e12;

const isNumber = (value: unknown) => typeof value === 'number' && Number.isFinite(value);

const isTime = (value: unknown): boolean => {
  const { spent, progress } = (isPlain(value) ? value : {}) as Partial<TimeRecord>;
  const within = (number: unknown, most: number) =>
    isNumber(number) && (number as number) >= 0 && (number as number) <= most;
  return within(spent, MOST) && within(progress, 1);
};

function areMeters(value: unknown): boolean {
  return isPlain(value) && Object.values(value).every((state) => isPlain(state) && isMean(state));
}

function isMean({ sum, count }: { readonly sum?: unknown; readonly count?: unknown }): boolean {
  return (sum === null || isNumber(sum)) && isNumber(count);
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function plainObject(value: unknown, source: string): object {
  return isPlain(value) ? value : refuse(source, 'they are no settings.');
}

function refuse(source: string, fault: string, about?: About): never {
  throw new SettingError(`${source} stores settings that no run has: ${printable(fault, 300)}`, about);
}

function damaged(source: string, fault: string): never {
  throw new CheckpointError(`${source} is damaged: its settings can't be read: ${fault}`);
}
