import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UserError } from '@moco-ts/core';
import { type Checkpoint, type RunConfig, type RunFlags, resolveConfig, resumeConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { chooseBackend } from '../run/backends.ts';
import { checkNewest, listCheckpoints, openCheckpoint } from '../run/checkpoint.ts';
import { openData } from '../run/dataset.ts';
import { duration } from '../run/format.ts';
import { defaultWorkers, registerPlugins } from '../run/plugins.ts';
import { createReporter, type Reporter } from '../run/reporter.ts';
import { catchInterrupts } from '../run/stop.ts';
import { train } from '../run/train.ts';
import { addPretrainOptions } from './pretrain-options.ts';
import { namedFlags, type RecipeOptions } from './recipe.ts';

interface PretrainOptions extends RecipeOptions {
  readonly out?: string;
  readonly resume?: string;
}

export function pretrainCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('pretrain')
    .summary('train an encoder on pictures without labels')
    .description(
      'Trains an encoder on pictures without labels (MoCo v1 to v3, SimCLR, instance discrimination). Defaults are in brackets; explicit flags win over those that --preset and --method set.',
    )
    .argument('[data]', 'image folder, idx or CIFAR folder, or emoji')
    .action(async (data: string | undefined, options: PretrainOptions) => {
      finish(await pretrain(data, options, io));
    });
  addPretrainOptions(command).addHelpText(
    'after',
    `
Examples:
  moco pretrain photos/ --method moco-v2 -a resnet18 --image-size 64 -b 64 \\
      --moco-k 4096 --epochs 100
  moco pretrain emoji --method moco-v2 -a resnet-tiny -b 64 --moco-k 1024
  moco pretrain --resume runs/photos-moco-v2-resnet18`,
  );
}

async function pretrain(data: string | undefined, options: PretrainOptions, io: Io): Promise<number> {
  const { out, resume: resumePath, ...recipe } = options;
  if (recipe.preset !== undefined && resumePath !== undefined && resumePath !== 'auto')
    throw new UserError('--preset and --resume exclude each other: the checkpoint knows its configuration');
  const flags = namedFlags(data, recipe);
  const warn = (text: string) => io.err(`moco: warning: ${text}\n`);

  const resume = await findResume(resumePath, out, flags, warn);
  const named = resume ? resume.info.config : flags;
  const source = flags.data ?? named.data;
  if (source === undefined)
    throw new UserError('pretrain needs DATA: an image folder, an idx or CIFAR folder, or emoji');
  const dataset = await openData({ ...named, ...flags, data: source }, 'train');
  const asked = resume
    ? resumeConfig(resume.info.config, flags, resume.path)
    : resolveConfig({ ...flags, data: source }, dataset, defaultWorkers());
  const config = asked.backend === 'auto' ? await withBackend(asked, io) : asked;
  const folder = await chooseFolder(out, resume, config, resumePath);

  const reporter = createReporter(io, config.printFreq);
  announce(reporter, config, dataset.length, folder, resume);
  const stop = catchInterrupts(() =>
    reporter.note('Stopping after this step; interrupt again to leave at once without saving.'),
  );
  try {
    const job = { config, dataset, folder, reporter, stop };
    const result = await train(resume ? { ...job, resume } : job);
    const skipped =
      result.skipped > 0
        ? `; ${result.skipped} damaged ${result.skipped === 1 ? 'picture was' : 'pictures were'} left out`
        : '';
    io.out(`Saved ${result.checkpoint} after ${duration(result.seconds)}${skipped}.\n`);
    if (result.outcome === 'stopped') io.out(`Go on with: moco pretrain --resume ${folder}\n`);
    else io.out(`Next: moco knn ${folder} ${config.data}   or: moco export ${folder} -o model.onnx\n`);
    return stop.requested ? 130 : 0;
  } finally {
    stop.release();
  }
}

/** The run's record has the backend itself, so that it goes on with the same. */
async function withBackend(config: RunConfig, io: Io): Promise<RunConfig> {
  await registerPlugins();
  const { name, reason } = await chooseBackend();
  io.out(`Backend: ${name} (${reason})\n`);
  return { ...config, backend: name };
}

/** The checkpoint to go on from; `auto` looks into the run folder and starts anew if there is none. */
async function findResume(
  path: string | undefined,
  out: string | undefined,
  flags: RunFlags,
  warn: (text: string) => void,
): Promise<Checkpoint | undefined> {
  if (path === undefined) return undefined;
  if (path === 'auto') {
    const folder = out ?? defaultFolder(flags);
    return (await listCheckpoints(folder)).length > 0 ? openCheckpoint(folder, warn, true) : undefined;
  }
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  const here = out === undefined || resolve(out) === resolve(isFolder ? path : dirname(path));
  const checkpoint = await openCheckpoint(path, warn, here);
  if (!isFolder && here) await checkNewest(path);
  return checkpoint;
}

/** Where the run is written. A folder that holds a run already is only gone on with, never begun again. */
async function chooseFolder(
  out: string | undefined,
  resume: Checkpoint | undefined,
  config: RunConfig,
  resumePath: string | undefined,
): Promise<string> {
  if (resume && (out === undefined || resumePath === 'auto')) return dirname(resume.path);
  const folder = out ?? defaultFolder(config);
  const taken = async (path: string) =>
    (await stat(join(path, 'config.json')).catch(() => undefined)) !== undefined;
  const holdsResumed = resume !== undefined && resolve(dirname(resume.path)) === resolve(folder);
  if (holdsResumed || !(await taken(folder))) return folder;
  // A run that was killed before its first checkpoint has nothing to lose.
  if ((await listCheckpoints(folder)).length === 0) return folder;
  if (out !== undefined)
    throw new UserError(
      `${folder} holds a run already; go on with --resume ${folder}, or choose another --out`,
    );
  for (let number = 2; ; number++) {
    const next = `${folder}-${number}`;
    if (!(await taken(next))) return next;
  }
}

function defaultFolder({ data = 'run', method = 'moco-v1', arch = 'resnet50' }: RunFlags): string {
  return join('runs', `${basename(resolve(data))}-${method}-${arch}`);
}

function announce(
  reporter: Reporter,
  config: RunConfig,
  pictures: number,
  folder: string,
  resume: Checkpoint | undefined,
): void {
  const { method, arch, imageSize, data, epochs, batchSize } = config;
  reporter.note(
    `${method}, ${arch} at ${imageSize} px: ${pictures} pictures of ${data}, ${epochs} epochs, batch ${batchSize}`,
  );
  const from = resume ? ` (from epoch ${resume.info.epoch}, step ${resume.info.step})` : '';
  reporter.note(`Run folder: ${folder}${from}`);
}
