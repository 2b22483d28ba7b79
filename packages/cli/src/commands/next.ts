/** Commands that can follow, as lines that can be pasted. */
import { quoted } from '@moco-ts/core';
import { isBackendFile, type RunConfig } from '@moco-ts/run';

/** What a run needs besides its files: the plugins that it was made with, and what computed it. */
export interface Needs {
  readonly plugin?: RunConfig['plugin'] | undefined;
  readonly backend?: RunConfig['backend'] | undefined;
}

/** The commands that compute with a backend of the user's choice. */
const computing: ReadonlySet<string> = new Set([
  ...['train', 'pretrain', 'knn', 'lincls', 'finetune', 'report', 'embed', 'search', 'dedupe', 'map'],
]);

/** The backend that no flag needs to name. */
const usual = 'ort';

/**
 * A command line, with flags for what its run needs.
 * @param args words; those that begin with a dash are flags
 */
export function lineOf(
  command: string,
  args: readonly string[],
  { plugin = [], backend = usual }: Needs = {},
) {
  const isNamed = backend !== usual && computing.has(command) && !resumesOn(backend, args);
  return [
    ...['moco', command],
    ...args.map((arg) => (arg.startsWith('-') ? arg : quoted(arg))),
    ...(isNamed ? ['--backend', quoted(backend)] : []),
    ...plugin.flatMap((name) => ['--plugin', quoted(name)]),
  ].join(' ');
}

/** A run goes on with its backend by itself, but for one that is a file, which no checkpoint loads. */
const resumesOn = (backend: string, args: readonly string[]) =>
  args.includes('--resume') && !isBackendFile(backend);

/** A command on a set of vectors, a file of them or images with the encoder that makes them, as another one named it. */
export const lineOnSet = (
  command: 'map' | 'dedupe',
  set: string,
  { model, ...needs }: Needs & { readonly model?: string },
) =>
  lineOf(
    command,
    [
      ...[set, ...(model === undefined ? [] : ['--model', model])],
      ...(command === 'map' ? ['--out', `${set.replace(/(\.[a-z]+|\/+)$/, '')}.html`] : []),
    ],
    needs,
  );

/** The data of a run as the next command has to name them: a program's own set has no name there. */
export const dataOf = ({ data }: Pick<RunConfig, 'data'>, otherwise = 'photos/'): string =>
  data.startsWith('object:') ? otherwise : data;
