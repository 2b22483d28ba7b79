/** The resolved configuration of a run: everything that decides its result, as plain JSON. */
import { counted, SettingError, say, settingRef } from '@moco-ts/core';
import type { ImageDataset, ViewConfig, ViewOp } from '@moco-ts/data/portable';
import { traitsNamed } from '@moco-ts/encoders';
import { isMethod, methodOf } from './registry.ts';
import { durationText } from './rule.ts';
import {
  currentSettings,
  defaults,
  defaultsOf,
  meaningless,
  type RunConfig,
  type RunFlags,
  settingEntries,
} from './table.ts';

/** Images of known small sets are trained on as they are; photographs are cut to the papers' 224. */
export function defaultImageSize(dataset: Pick<ImageDataset, 'source' | 'share'>): number {
  const shared = dataset.share?.();
  if (shared?.kind === 'raw') return Math.max(32, shared.height);
  return dataset.source.data === 'emoji' ? 32 : 224;
}

/**
 * A new run's configuration: explicit flags before the method's row before the defaults.
 * @param workers threads for images where no flag says it
 * @throws SettingError for settings that exclude each other, and flags that the method has no use for
 */
export function resolveConfig(
  given: RunFlags & { data: string },
  dataset: Pick<ImageDataset, 'source' | 'share'>,
  workers = 1,
): RunConfig {
  const flags = currentSettings(given);
  const refused = meaningless(methodOf({ method: flags.method ?? defaults.method }), flags);
  if (refused !== undefined) throw new SettingError(refused, { code: 'setting-conflict' });
  const openEnded = isTimed(flags) && flags.epochs === undefined;
  const usual = usualConfig(flags, { imageSize: defaultImageSize(dataset), workers });
  const config = openEnded ? { ...usual, openEnded } : usual;
  check(config);
  return config;
}

/**
 * What a run is that names these flags: explicit flags before the method's row before the defaults. A method whose plugin is
 * not loaded has no row.
 */
export function usualConfig(
  flags: RunFlags & { data: string },
  { imageSize, workers }: Pick<RunConfig, 'imageSize' | 'workers'>,
): RunConfig {
  const { method: name = defaults.method, arch = defaults.arch } = flags;
  const method = isMethod(name) ? methodOf({ method: name }) : undefined;
  const named = {
    ...defaultsOf(method),
    ...(chooses(flags) && { measureEvery: OFTEN }),
    ...method?.defaults(traitsNamed(arch), flags),
    ...flags,
  };
  const merged: RunConfig = { ...ratesOf(named.optimizer), imageSize, workers, ...named, method: name };
  const [own, ...others] = traitsNamed(merged.arch).stems;
  const large = own === 'imagenet' && others.includes('cifar');
  return large && merged.imageSize <= 64 && !merged.stem ? { ...merged, stem: 'cifar' } : merged;
}

/** Of the run, between the evaluations that choose a checkpoint. */
const OFTEN = 0.05;

/** Whether a run keeps its best checkpoint too. */
const chooses = ({ select = defaults.select }: Pick<RunFlags, 'select'>): boolean => select !== 'none';

/** For a batch of 256, if neither the user nor the method gives others. */
const ratesOf = (optimizer: RunConfig['optimizer']) => ({
  lr: { sgd: 0.03, adamw: 1e-3, lars: 0.3 }[optimizer],
  wd: optimizer === 'lars' ? 1e-6 : 1e-4,
  warmupEpochs: 0,
});

/** A stored configuration with the defaults of what later versions added. */
export function withDefaults(
  saved: Partial<RunConfig> & Pick<RunConfig, 'data' | 'method' | 'arch' | 'imageSize'>,
): RunConfig {
  const method = isMethod(saved.method) ? methodOf(saved) : undefined;
  const named = { ...defaultsOf(method), ...saved };
  const own = method?.defaults(traitsNamed(saved.arch), named) ?? {};
  const { lr, wd, warmupEpochs } = { ...ratesOf(named.optimizer), ...own };
  return { lr, wd, warmupEpochs, workers: 1, ...named };
}

/** What a checkpoint has of a setting. */
function storedAs(value: RunConfig[keyof RunConfig]): string {
  if (value === undefined || value === false) return 'was made without';
  return value === true ? 'was made with it' : `has ${value}`;
}

/**
 * The configuration that resumes a checkpoint: its own except `maxSteps`, with the changes that the flags make.
 * @param source the checkpoint's name, for messages
 * @throws SettingError when a flag asks for a model or an optimizer that the checkpoint is not of
 */
export function resumeConfig(saved: RunConfig, given: RunFlags, source: string): RunConfig {
  const flags = currentSettings(given);
  for (const [key, { bound }] of settingEntries()) {
    const [wanted, stored] = [flags[key], saved[key]];
    // Lists are compared by value.
    if (bound && wanted !== undefined && String(wanted) !== String(stored)) {
      const setting = settingRef(key);
      throw new SettingError(
        say`${source} ${storedAs(stored)}, but ${setting} asks for ${wanted}; leave ${setting} out, or start a new run without ${settingRef('resume')}`,
        { code: 'setting-conflict', value: wanted },
      );
    }
  }
  if (flags.backend === undefined && isBackendFile(saved.backend))
    throw new SettingError(
      say`${source} computed on ${saved.backend}, whose code is a file, which no checkpoint loads by itself: name it, or another one, by ${settingRef('backend')}`,
      { code: 'setting-missing', setting: 'backend', value: saved.backend },
    );
  if (flags.startEpoch !== undefined)
    throw new SettingError(
      say`${settingRef('startEpoch')} and ${settingRef('resume')} exclude each other: the checkpoint knows its epoch`,
      { code: 'setting-conflict', value: flags.startEpoch },
    );
  const refused = meaningless(methodOf({ ...saved, ...flags }), flags);
  if (refused !== undefined) throw new SettingError(refused, { code: 'setting-conflict' });
  // A limit applies to the command that it was given to: if kept, it would stop a resumed run at once.
  const { maxSteps: _, openEnded, ...kept } = saved;
  const isOpen = openEnded && flags.epochs === undefined && isTimed({ ...saved, ...flags });
  const config = { ...withDefaults(kept), ...(isOpen && { openEnded }), ...flags };
  check(config);
  return config;
}

/** Whether a backend's device is named by a path, as in `xla:./plugin.so`. */
export const isBackendFile = (backend: string): boolean => /[/\\]|\.so$/.test(backend);

function check(config: RunConfig): void {
  if (config.time !== undefined && config.progressFrom !== undefined)
    throw new SettingError(
      say`${settingRef('time')} and ${settingRef('progressFrom')} exclude each other: a repeated run ends with the steps of the first`,
      { code: 'setting-conflict', value: config.progressFrom },
    );
  if (config.startEpoch >= lastEpoch(config))
    throw new SettingError(
      say`${settingRef('startEpoch', config.startEpoch)} leaves nothing to do: epochs run from 0 to ${config.epochs - 1}`,
    );
  if (config.warmupEpochs >= config.epochs)
    throw new SettingError(
      say`${settingRef('warmupEpochs', config.warmupEpochs)} should be less than ${settingRef('epochs', config.epochs)}`,
    );
  if (chooses(config) && config.measureEvery === 0)
    throw new SettingError(
      say`${settingRef('select', config.select)} chooses by what is measured: give a ${settingRef('measureEvery')} above 0`,
      { code: 'setting-conflict', setting: 'measureEvery', value: 0 },
    );
  if (config.patience !== undefined && !chooses(config))
    throw new SettingError(
      say`${settingRef('patience', config.patience)} waits for a better checkpoint: say by ${settingRef('select')} what makes it better`,
      { code: 'setting-conflict', value: config.patience },
    );
  if (config.batchSize % config.accumulate !== 0)
    throw new SettingError(
      say`${settingRef('batchSize', config.batchSize)} can't be cut into ${config.accumulate} equal parts: change it or ${settingRef('accumulate')}`,
      { value: config.batchSize },
    );
  checkSizes(config);
}

/** Values in one array: 4 GB. */
const mostValues = 2 ** 30;

/**
 * Each setting by itself may be right and their product more than any machine holds.
 * @throws SettingError
 */
export function checkSizes(
  config: Pick<RunConfig, 'batchSize' | 'imageSize'> & Partial<Pick<RunConfig, 'mocoK' | 'mocoDim'>>,
): void {
  const { batchSize, imageSize, mocoK = 1, mocoDim = 1 } = config;
  if (3 * batchSize * imageSize ** 2 > mostValues)
    throw new SettingError(
      say`${settingRef('batchSize', batchSize)} of ${settingRef('imageSize', imageSize)} is more than 4 GB a view: give less of either`,
    );
  if (mocoK * mocoDim > mostValues)
    throw new SettingError(
      say`${settingRef('mocoK', mocoK)} of ${settingRef('mocoDim', mocoDim)} is more than 4 GB: give less of either`,
    );
}

/** The distributions of a run's views: those of its method, as far as settings don't change them. */
export function viewsOf(config: RunConfig): ViewConfig[] {
  const drawn = methodOf(config).views(config);
  return drawn.map((view) => ({ ...view, ops: view.ops.flatMap((op) => adjusted(op, config)) }));
}

function adjusted(op: ViewOp, { blur, hue, grayscale }: RunConfig): readonly ViewOp[] {
  if (op.op === 'blur' && !blur) return [];
  if (op.op === 'jitter' && hue !== undefined) return [{ ...op, hue }];
  if (op.op === 'grayscale' && grayscale !== undefined) return [{ ...op, p: grayscale }];
  return [op];
}

/** Whether schedules follow the clock, or what it said in another run, instead of epochs. */
export const isTimed = ({ time, progressFrom }: Pick<RunConfig, 'time' | 'progressFrom'>): boolean =>
  time !== undefined || progressFrom !== undefined;

/** Epochs after which a run ends; Infinity where its time alone ends it. */
export const lastEpoch = ({ epochs, openEnded }: Pick<RunConfig, 'epochs' | 'openEnded'>): number =>
  openEnded ? Number.POSITIVE_INFINITY : epochs;

/** How long a run is, in words: `200 epochs`, `30m`, `30m or 200 epochs`. */
export function lengthOf(config: Pick<RunConfig, 'time' | 'epochs' | 'openEnded'>): string {
  const { time, epochs, openEnded } = config;
  const ends = [time !== undefined && durationText(time), !openEnded && counted(epochs, 'epoch')];
  return ends.filter((end) => end !== false).join(' or ') || 'as long as the run that it repeats';
}
