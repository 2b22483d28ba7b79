/** Where pip would look for packages, so that a plugin comes from the same place, a mirror included. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BackendError } from '@moco-ts/core';

/** The index of pip's environment, else of its configuration files (user, environment, machine); undefined where none is named. */
export function packageIndex(env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (env.PIP_INDEX_URL) return env.PIP_INDEX_URL;
  const files = [
    env.PIP_CONFIG_FILE,
    join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'pip', 'pip.conf'),
    join(homedir(), '.pip', 'pip.conf'),
    env.VIRTUAL_ENV && join(env.VIRTUAL_ENV, 'pip.conf'),
    '/etc/pip.conf',
  ];
  for (const file of files) {
    const url = file ? indexIn(file) : undefined;
    if (url) return url;
  }
  return undefined;
}

/** `index-url` of the section `global` or `install`. */
function indexIn(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  let section = '';
  for (const line of text.split('\n')) {
    section = /^\s*\[(.+)\]\s*$/.exec(line)?.[1] ?? section;
    const url = /^\s*index[-_]url\s*[=:]\s*(\S+)/.exec(line)?.[1];
    if (url && (section === 'global' || section === 'install')) return url;
  }
  return undefined;
}

/**
 * The address of a file of a package.
 * @param index a simple repository (PEP 503 or 691)
 * @throws BackendError when the index doesn't answer, or has no such file
 */
export async function fileAddress(
  index: string,
  name: string,
  file: string,
  signal?: AbortSignal,
): Promise<string> {
  const page = `${index.replace(/\/+$/, '')}/${name}/`;
  if (!URL.canParse(page)) throw new BackendError(`"${index}" is no address of a package index`);
  const accept = 'application/vnd.pypi.simple.v1+json, text/html;q=0.5';
  const answer = await fetched(page, { headers: { accept }, ...(signal ? { signal } : {}) });
  const text = await answer.text().catch((error: Error) => {
    if (signal?.aborted) throw error;
    throw new BackendError(`${withoutPassword(page)} broke off: ${reasonOf(error)}`);
  });
  const address = answer.headers.get('content-type')?.includes('json')
    ? listed(text, file)
    : linkTo(text, file);
  if (!address) throw new BackendError(`${withoutPassword(page)} has no file ${file}`);
  return new URL(address.replaceAll('&amp;', '&'), answer.url || page).href;
}

/** PEP 691. A text that is something else has no file. */
function listed(json: string, file: string): string | undefined {
  try {
    const { files } = JSON.parse(json) as { readonly files: readonly { filename: string; url: string }[] };
    return files.find(({ filename }) => filename === file)?.url;
  } catch {
    return undefined;
  }
}

/** PEP 503: the text of a link is the file's name. */
function linkTo(html: string, file: string): string | undefined {
  for (const [, attributes, text] of html.matchAll(/<a\s([^>]*)>\s*([^<]*?)\s*<\/a>/gi))
    if (text === file) return /href\s*=\s*["']([^"']+)["']/i.exec(attributes!)?.[1];
  return undefined;
}

/** @throws BackendError that names the address and the cause */
export async function fetched(address: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  const { url, headers } = credentials(address, init.headers);
  try {
    answer = await fetch(url, { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new BackendError(`${withoutPassword(address)} did not answer: ${reasonOf(error as Error)}`);
  }
  if (!answer.ok) throw new BackendError(`${withoutPassword(address)} answered ${answer.status}`);
  return answer;
}

/** fetch tells what happened by a cause. */
export function reasonOf({ message, cause }: Error): string {
  return cause instanceof Error && cause.message ? cause.message : message;
}

/** fetch refuses addresses with a password: it becomes a header. */
function credentials(
  address: string,
  headers: RequestInit['headers'],
): { readonly url: string; readonly headers: Headers } {
  const url = new URL(address);
  const all = new Headers(headers);
  if (url.username) {
    const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    all.set('authorization', `Basic ${Buffer.from(user).toString('base64')}`);
    url.username = '';
    url.password = '';
  }
  return { url: url.href, headers: all };
}

/** An address as messages may show it. */
function withoutPassword(address: string): string {
  const url = new URL(address);
  url.username = '';
  url.password = '';
  return url.href;
}
