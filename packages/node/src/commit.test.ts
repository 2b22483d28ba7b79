import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';
import { currentCommit } from './commit.ts';

const before = process.cwd();
afterEach(() => process.chdir(before));

const git = (folder: string, ...args: string[]) =>
  execFileSync('git', ['-C', folder, '-c', 'user.name=n', '-c', 'user.email=e', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();

function repository(): string {
  const folder = temporaryFolder();
  git(folder, 'init', '-q', '-b', 'main');
  git(folder, 'commit', '-q', '--allow-empty', '-m', 'first');
  return folder;
}

it('the commit is what git says: on a branch, below the root, packed, detached, in a linked work tree', () => {
  const folder = repository();
  const first = git(folder, 'rev-parse', 'HEAD');
  expect(first).toMatch(/^[0-9a-f]{40}$/);
  expect(currentCommit(folder)).toBe(first);
  mkdirSync(join(folder, 'a', 'b'), { recursive: true });
  expect(currentCommit(join(folder, 'a', 'b'))).toBe(first);
  git(folder, 'branch', 'other/main');
  git(folder, 'commit', '-q', '--allow-empty', '-m', 'second');
  const second = git(folder, 'rev-parse', 'HEAD');
  git(folder, 'tag', '-a', 'v1', '-m', 'annotated');
  git(folder, 'pack-refs', '--all');
  expect(existsSync(join(folder, '.git', 'refs', 'heads', 'main'))).toBe(false);
  expect(currentCommit(folder)).toBe(second);
  const linked = join(temporaryFolder(), 'linked');
  git(folder, 'worktree', 'add', '-q', linked, 'other/main');
  expect(currentCommit(linked)).toBe(first);
  git(linked, 'commit', '-q', '--allow-empty', '-m', 'third');
  expect(currentCommit(linked)).toBe(git(linked, 'rev-parse', 'HEAD'));
  git(folder, 'checkout', '-q', '--detach', first);
  expect(currentCommit(folder)).toBe(first);
});

it('the commit is unknown without a commit, and reads no file that a reference leads to from outside', () => {
  const folder = temporaryFolder();
  git(folder, 'init', '-q');
  expect(currentCommit(folder)).toBeUndefined();
  writeFileSync(join(folder, 'secret'), 'a'.repeat(40));
  for (const head of ['ref: refs/../../secret', 'ref: ../secret', 'nonsense', '', 'ref: refs/heads/a\0b']) {
    writeFileSync(join(folder, '.git', 'HEAD'), head);
    expect(currentCommit(folder), head).toBeUndefined();
  }
  // A loop, and a pipe, which would never end.
  mkdirSync(join(folder, '.git', 'refs', 'heads'), { recursive: true });
  writeFileSync(join(folder, '.git', 'HEAD'), 'ref: refs/heads/loop');
  writeFileSync(join(folder, '.git', 'refs', 'heads', 'loop'), 'ref: refs/heads/loop');
  expect(currentCommit(folder)).toBeUndefined();
  execFileSync('mkfifo', [join(folder, '.git', 'refs', 'heads', 'pipe')]);
  writeFileSync(join(folder, '.git', 'HEAD'), 'ref: refs/heads/pipe');
  expect(currentCommit(folder)).toBeUndefined();
});

it('a training runs no program that a .git/config names, in the working folder or above it', async () => {
  const folder = repository();
  const marker = join(folder, 'ran');
  const program = join(folder, 'program.sh');
  writeFileSync(program, `#!/bin/sh\necho "$0 $*" >> ${marker}\n`);
  chmodSync(program, 0o755);
  writeFileSync(join(folder, 'file'), '1');
  git(folder, 'add', 'file');
  git(folder, 'commit', '-q', '-m', 'a file');
  for (const name of ['core.fsmonitor', 'core.sshCommand', 'core.pager', 'diff.external', 'filter.x.clean'])
    git(folder, 'config', name, program);
  git(folder, 'config', 'core.hooksPath', folder);
  writeFileSync(join(folder, '.gitattributes'), '* filter=x\n');
  writeFileSync(join(folder, 'file'), '2');
  // The trap works.
  execFileSync('git', ['-C', folder, 'describe', '--always', '--dirty'], { stdio: 'ignore' });
  expect(existsSync(marker)).toBe(true);
  writeFileSync(marker, '');
  const commit = currentCommit(folder);
  const below = join(folder, 'below');
  mkdirSync(below);
  cpSync(imageFolder(20), join(below, 'images'), { recursive: true });
  for (const [place, images] of [
    [folder, 'below/images'],
    [below, 'images'],
  ] as const) {
    process.chdir(place);
    expect((await moco('pretrain', images, ...tiny, '--max-steps', '1', '--out', 'run')).err).toBe('');
    expect(JSON.parse(readFileSync('run/config.json', 'utf8')).commit).toBe(commit);
  }
  expect(readFileSync(marker, 'utf8')).toBe('');
});
