/** Turns what the user names into a run: the checkpoint to resume, the data, the settings and the folder. */
import { basename, dirname, join, resolve } from 'node:path';
import { quoted, SettingError, say, settingRef, UserError, type Wording } from '@moco-ts/core';
import type { ImageDataset } from '@moco-ts/data';
import { traitsNamed } from '@moco-ts/encoders';
import {
  type Checkpoint,
  defaults,
  type RunConfig,
  type RunFlags,
  resolveConfig,
  resumeConfig,
} from '@moco-ts/run';
import { chooseBackend } from './backends.ts';
import { checkNewest, holdsRun, openCheckpoint } from './checkpoint.ts';
import { asStored, openData } from './dataset.ts';
import type { EvaluationSets } from './evaluate.ts';
import { choosingSets, givenSets } from './held-out.ts';
import { type Beginning, flagsFrom } from './init.ts';
import { defaultWorkers } from './plugins.ts';
import { entryIfThere } from './source.ts';
import { withTeacher } from './teacher.ts';
import { alone, ofRankZero, together, type World } from './world.ts';

export interface Wish {
  readonly flags: RunFlags;
  /** The preset that the flags came from. */
  readonly preset?: string | undefined;
  /** The run folder. */
  readonly out?: string | undefined;
  /** A checkpoint, a run folder, or `auto`: resume `out` if it holds a run. */
  readonly resume?: string | undefined;
  /** What `resume` names, where it is read already. */
  readonly found?: Checkpoint | undefined;
  /** Images that are open already; `flags.data` is their name. */
  readonly dataset?: ImageDataset | undefined;
  /** Images that are not trained on, which are open already. */
  readonly test?: ImageDataset | undefined;
}

export interface RunPlan {
  readonly config: RunConfig;
  readonly dataset: ImageDataset;
  readonly folder: string;
  readonly resume?: Checkpoint;
  /** What a run from given weights begins from. */
  readonly beginning?: Beginning;
  /** Where it is not opened by the data's name. */
  readonly evaluateOn?: EvaluationSets;
}

interface Listeners {
  warn(text: Wording): void;
  note(text: Wording): void;
}

/**
 * Settles everything that is to be known before a run is prepared; writes nothing. Of several processes rank 0 settles it.
 * @throws UserError for settings that can't work, data that can't be opened, and a folder that holds another run
 */
export async function planRun(wish: Wish, listeners: Listeners, world = alone): Promise<RunPlan> {
  let plan: RunPlan | undefined;
  const settled = await ofRankZero(world, async () => {
    plan = await settle(wish, listeners, world);
    const { config, folder, resume } = plan;
    return { config, folder, path: resume?.path };
  });
  return together(world, async () => plan ?? follow(settled, wish));
}

/** What rank 0 settled, as another process opens it. */
async function follow(
  { config, folder, path }: Pick<RunPlan, 'config' | 'folder'> & { readonly path?: string | undefined },
  { dataset: opened, test }: Wish,
): Promise<RunPlan> {
  const silent = () => undefined;
  const dataset = opened ?? (await openData(config, 'train', silent));
  const { select } = config;
  const isHeldOut = select === 'retrieval' || select === 'knn';
  const sets = isHeldOut ? await choosingSets(config, dataset, test, silent) : { dataset };
  const own = { dataset: sets.dataset, config, folder };
  return path === undefined ? own : { ...own, resume: await openCheckpoint(path, silent) };
}

async function settle(
  { flags: given, preset, out, resume: resumePath, found, dataset: opened, test }: Wish,
  listeners: Listeners,
  world: World,
): Promise<RunPlan> {
  if (preset !== undefined && resumePath !== undefined && resumePath !== 'auto')
    throw new SettingError(
      say`${settingRef('preset')} and ${settingRef('resume')} exclude each other: the checkpoint knows its configuration`,
      { code: 'setting-conflict', value: preset },
    );
  const { init } = given;
  // The folder that `auto` looks into is named by the architecture. A run that goes on needs nothing else of the file.
  const isLookedFor = resumePath === 'auto' && out === undefined;
  let begun = init !== undefined && isLookedFor ? await flagsFrom(init, given, listeners.warn) : undefined;
  const resume = found ?? (await findResume(resumePath, out, begun?.flags ?? given, listeners.warn));
  if (!resume && init !== undefined) begun ??= await flagsFrom(init, given, listeners.warn);
  const open = begun?.flags ?? given;
  const flags = resume ? given : await withTeacher({ method: defaults.method, ...open }, listeners.note);
  if (!resume && begun) {
    for (const remark of begun.remarks) listeners.note(remark);
    if (given.lr === undefined) listeners.note(gentler);
  }
  const named = resume ? resume.info.config : flags;
  const source = flags.data ?? named.data;
  if (source === undefined)
    throw new SettingError(
      say`pretrain needs ${settingRef('data')}: an image folder, an idx or CIFAR folder, or emoji`,
      { code: 'setting-missing' },
    );
  const openNamed = () => openData({ ...named, ...flags, data: source }, 'train', listeners.warn);
  const isStored = resume !== undefined && flags.data === undefined;
  const dataset = opened ?? (await (isStored ? asStored(resume.path, openNamed) : openNamed()));
  // Processes that go on with a run of devices have one each.
  const { devices, ...saved } = resume?.info.config ?? {};
  const asked = resume
    ? resumeConfig(world.size > 1 ? (saved as RunConfig) : resume.info.config, flags, resume.path)
    : resolveConfig({ ...flags, data: source }, dataset, defaultWorkers(world.cores));
  if (resume && asked.maxSteps !== undefined && asked.maxSteps < resume.info.globalStep)
    throw new SettingError(
      say`${settingRef('maxSteps', asked.maxSteps)} counts the steps of the run, of which ${resume.info.globalStep} are done: give more, or leave it out`,
    );
  const config = asked.backend === 'auto' ? await withBackend(asked, listeners.note) : asked;
  const { select } = config;
  const sets =
    select === 'retrieval' || select === 'knn'
      ? await choosingSets(config, dataset, test, listeners.note)
      : opened || test
        ? { config, ...(await givenSets(config, dataset, test)) }
        : { config, dataset };
  if (!resume && begun && given.stem === undefined && config.stem === 'imagenet' && config.imageSize <= 64)
    listeners.note(coarse(config.imageSize));
  const folder = await chooseFolder(out, resume, config, resumePath);
  return { ...sets, folder, ...(resume ? { resume } : begun && { beginning: begun }) };
}

/** Where the rate is the method's, which is meant for random weights. */
const gentler = say`Note: the learning rate is the method's, which is meant for random weights: try a tenth of it too (${settingRef('lr')}).`;

/** Where the weights' stem halves small images five times. */
const coarse = (size: number) =>
  say`Note: the stem is the weights', for larger images: of ${size} px it leaves a last map of ${Math.ceil(size / 32)} x ${Math.ceil(size / 32)}; try a larger ${settingRef('imageSize')}, or ${settingRef('stem', 'cifar')}, whose first convolution begins random.`;

/** The run's record names the actual backend, so that it resumes with the same. */
async function withBackend(config: RunConfig, note: (text: string) => void): Promise<RunConfig> {
  const { family } = traitsNamed(config.arch);
  const { name, reason } = await chooseBackend({ family, precision: config.precision });
  note(`Backend: ${name} (${reason})`);
  return { ...config, backend: name };
}

/** The checkpoint to resume; `auto` looks into the run folder and starts a new run if there is none. */
export async function findResume(
  path: string | undefined,
  out: string | undefined,
  flags: RunFlags,
  warn: (text: Wording) => void,
): Promise<Checkpoint | undefined> {
  if (path === undefined) return undefined;
  if (path === 'auto') {
    const folder = out ?? defaultFolder(flags);
    return (await holdsRun(folder)) ? openCheckpoint(folder, warn, true) : undefined;
  }
  const isFolder = (await entryIfThere(path))?.isDirectory() ?? false;
  const here = out === undefined || resolve(out) === resolve(isFolder ? path : dirname(path));
  const checkpoint = await openCheckpoint(path, warn, here);
  if (!isFolder && here) await checkNewest(path);
  return checkpoint;
}

/** Where the run is written. A folder that already holds a run is only resumed, never overwritten. */
async function chooseFolder(
  out: string | undefined,
  resume: Checkpoint | undefined,
  config: RunConfig,
  resumePath: string | undefined,
): Promise<string> {
  if (resume && (out === undefined || resumePath === 'auto')) return dirname(resume.path);
  const folder = out ?? defaultFolder(config);
  const holdsResumed = resume !== undefined && resolve(dirname(resume.path)) === resolve(folder);
  // A run that was killed before its first checkpoint has nothing to lose.
  if (holdsResumed || !(await holdsRun(folder))) return folder;
  if (out !== undefined)
    throw new UserError(
      say`${folder} holds a run already; go on with ${settingRef('resume', quoted(folder))}, or choose another ${settingRef('out')}`,
      { code: 'file-taken', setting: 'out', value: folder },
    );
  for (let number = 2; ; number++) {
    const next = `${folder}-${number}`;
    if (!(await holdsRun(next))) return next;
  }
}

function defaultFolder({ data = 'run', method = defaults.method, arch = defaults.arch }: RunFlags): string {
  // A program's own set is named, not opened, by `object:NAME`.
  const name = basename(resolve(data.replace(/^object:/, '')));
  return join('runs', `${name}-${method}-${arch}`);
}
