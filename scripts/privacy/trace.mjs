// What a trace of strace (-f -y) tells that a program did and may not do.
import { isAbsolute, resolve } from 'node:path';

/** Calls that change a file, by the places of the paths among their arguments. */
const writing = {
  creat: [0],
  mkdir: [0],
  mkdirat: [1],
  mknod: [0],
  mknodat: [1],
  link: [0, 1],
  linkat: [1, 3],
  symlink: [1],
  symlinkat: [2],
  rename: [0, 1],
  renameat: [1, 3],
  renameat2: [1, 3],
  unlink: [0],
  unlinkat: [1],
  rmdir: [0],
  truncate: [0],
  chmod: [0],
  fchmodat: [1],
  chown: [0],
  fchownat: [1],
  utimensat: [1],
};
/** What strace is to trace. */
export const calls = ['%network', 'execve', 'open', 'openat', ...Object.keys(writing)].join(',');

/** Not files of anybody's. */
const devices = /^\/(dev\/(null|tty|zero|full|pts\/.*|std(in|out|err)|shm\/.*)|proc\/.*)$/;

/**
 * @param text the trace
 * @param options.cwd where the program ran
 * @param options.own folders that it may write in
 * @param options.node the only program that it may start
 * @returns a line for each fault
 */
export function violations(text, { cwd, own, trace, node }) {
  const broken = [];
  const allowed = (path) =>
    devices.test(path) || path === trace || own.some((folder) => `${path}/`.startsWith(`${folder}/`));
  for (const line of joinedCalls(text)) {
    const parts = /^\d+ +(\w+)\((.*)\) += (-?\d+)/.exec(line);
    if (!parts) continue;
    const [, call, rest, result] = parts;
    const args = split(rest);
    if (call === 'socket' && !args[0].startsWith('AF_UNIX')) broken.push(`opened a socket: ${args[0]}`);
    // A local service may ask the network for it, as nscd does.
    else if (['connect', 'bind', 'listen', 'sendto', 'sendmsg'].includes(call) && /sa_family/.test(rest))
      if (Number(result) >= 0) broken.push(`used a socket: ${call}(${rest.slice(0, 120)})`);
    if (call === 'execve' && Number(result) === 0 && unquoted(args[0]) !== node)
      broken.push(`started ${unquoted(args[0])}`);
    const places =
      call === 'open' || call === 'openat'
        ? /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(rest)
          ? [call === 'open' ? 0 : 1]
          : []
        : (writing[call] ?? []);
    // A try that the system refused is one too: elsewhere it would not be.
    for (const place of places) {
      const path = pathAt(args, place, cwd);
      if (path !== undefined && !allowed(path)) broken.push(`${call} ${path}`);
    }
  }
  return broken;
}

/** Calls that another thread interrupted, put together. */
function joinedCalls(text) {
  const open = new Map();
  const lines = [];
  for (const line of text.split('\n')) {
    const id = /^\d+/.exec(line)?.[0];
    if (line.endsWith('<unfinished ...>')) open.set(id, line.slice(0, -'<unfinished ...>'.length));
    else if (/^\d+ +<\.\.\. \w+ resumed>/.test(line)) {
      lines.push((open.get(id) ?? '') + line.replace(/^\d+ +<\.\.\. \w+ resumed>/, ''));
      open.delete(id);
    } else lines.push(line);
  }
  return [...lines, ...open.values()].map((line) => (/\) += /.test(line) ? line : `${line}) = 0`));
}

/** Arguments at the top level: not within quotes or brackets. */
function split(text) {
  const args = [''];
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:\\.|[^"\\])*"(?:\.\.\.)?|<[^>]*>|[\s\S]/g)) {
    if ('([{'.includes(token)) depth++;
    if (')]}'.includes(token)) depth--;
    if (token === ',' && depth === 0) args.push('');
    else args[args.length - 1] += token;
  }
  return args.map((each) => each.trim());
}

const unquoted = (text) => /^"(.*)"/.exec(text)?.[1] ?? text;

function pathAt(args, place, cwd) {
  const path = unquoted(args[place] ?? '');
  // Of a descriptor alone: it was opened by a name.
  if (path === '' || path === 'NULL') return undefined;
  if (isAbsolute(path)) return resolve(path);
  const folder = /^(?:AT_FDCWD|\d+)<(.*)>$/.exec(args[place - 1] ?? '')?.[1];
  return resolve(folder ?? cwd, path);
}
