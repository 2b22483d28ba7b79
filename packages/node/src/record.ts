/** What a run's folder tells of it, `config.json`, and what it must not be when a run begins. */
import { basename, dirname, join, resolve } from 'node:path';
import { say, settingRef, UserError } from '@moco-ts/core';
import type { Checkpoint } from '@moco-ts/run';
import { listCheckpoints } from './checkpoint.ts';
import { currentCommit } from './commit.ts';
import type { Prepared } from './prepare.ts';
import type { Reporter } from './reporter.ts';
import { jsonIfThere } from './source.ts';
import { version } from './versions.ts';

/** Until the lock is taken, another process may have resumed the run. */
export async function expectAsPlanned(folder: string, resume: Checkpoint | undefined): Promise<void> {
  const [newest] = await listCheckpoints(folder);
  const here = resume !== undefined && resolve(dirname(resume.path)) === resolve(folder);
  if (newest !== (here ? basename(resume.path) : undefined))
    throw new UserError(
      `${folder} was written by another process meanwhile: the same command goes on with it`,
      { code: 'file-locked' },
    );
}

/** What a run's record tells of it beside its settings and machine. */
export function aboutRun({ dataset, backend, replicas }: Prepared) {
  const { name, length, source, classes } = dataset;
  return {
    dataset: { name, images: length, source, ...(classes && { classes: classes.length }) },
    backend: { name: backend.name, device: backend.device, lowering: backend.capabilities().lowering },
    ...(replicas > 1 && { replicas }),
    versions: { moco: version, node: process.version },
    ...commitField(),
  };
}

/** A log that the run had before it went on is named by the user alone: a checkpoint of others would send what it likes. */
export async function tellOfLeftOut(
  folder: string,
  named: readonly string[],
  reporter: Reporter,
): Promise<void> {
  const { log } = await jsonIfThere(join(folder, 'config.json'));
  const before = Array.isArray(log) ? log.filter((name) => typeof name === 'string') : [];
  const left = before.filter((name) => !named.includes(name));
  if (left.length > 0)
    reporter.warn(
      say`the run was logged to ${left.join(', ')} too, and goes on without: ${settingRef('log', before.join(','))} names all`,
    );
}

export function commitField(): { commit?: string } {
  const commit = currentCommit();
  return commit === undefined ? {} : { commit };
}
