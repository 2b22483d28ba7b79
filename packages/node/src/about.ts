/** What `moco convert` writes beside an encoder's tensors, so that it comes back as it was. */
import { CheckpointError, printable, say, settingRef } from '@moco-ts/core';
import type { KnownEncoder } from '@moco-ts/exchange';
import {
  encoderOf,
  initialParams,
  meaningful,
  methodOf,
  pluginMethods,
  type RunConfig,
  type RunFlags,
  resolveConfig,
  type Setting,
  type SettingName,
  settingsFault,
} from '@moco-ts/run';

/** What decides an encoder's features, and what its head is. */
const keys = [
  'method',
  'arch',
  'imageSize',
  'stem',
  'patchSize',
  'mean',
  'std',
  'mlp',
  'mocoDim',
  'mocoMlpDim',
] as const;

/** The settings of a run that its encoder depends on. */
export type About = Pick<RunConfig, (typeof keys)[number]> & {
  readonly epoch: number;
  /** Those that the method of a plugin has for itself: its head depends on them. */
  readonly own: RunFlags;
};

/** The method of a name, where a plugin brought it. */
const pluginMethod = (method: unknown) => pluginMethods().find(({ name }) => name === method);

/** Of a plugin's method, the settings of its own that weights depend on. */
function ownKeys(method: unknown): SettingName[] {
  const own = Object.entries<Setting>(pluginMethod(method)?.settings ?? {});
  return own.filter(([, { bound }]) => bound).map(([key]) => key as SettingName);
}

const picked = <From extends object>(from: From, names: readonly (keyof From)[]): Partial<From> =>
  Object.fromEntries(
    names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])),
  ) as Partial<From>;

/** As text, for the file. */
export function aboutText(config: RunConfig, epoch: number): string {
  return JSON.stringify({ ...picked(config, [...keys, ...ownKeys(config.method)]), epoch });
}

/** @throws CheckpointError for a text that `aboutText` can't have made */
export function parseAbout(text: string, file: string): About {
  const fail = (why: string) =>
    new CheckpointError(`${file}: what it says of its encoder can't be used: ${printable(why, 300)}`);
  let about: (RunFlags & { readonly epoch?: number }) | null;
  try {
    about = JSON.parse(text) as typeof about;
  } catch {
    throw fail('it is no JSON');
  }
  if (typeof about !== 'object' || about === null) throw fail('it is no object');
  const optional = new Set<string>(['stem', 'patchSize']);
  const missing = keys.find((key) => about[key] === undefined && !optional.has(key));
  if (missing !== undefined) throw fail(`${missing} is missing`);
  const fault = settingsFault(about);
  if (fault?.setting === 'method')
    throw new CheckpointError(
      say`${file}: its method ${printable(JSON.stringify(about.method))} came with a plugin, which only you can name, if you trust it: ${settingRef('plugin', 'PACKAGE_OR_FILE')}`,
    );
  if (fault !== undefined) throw fail(fault.message);
  const { epoch = 0 } = about;
  return {
    ...(picked(about, keys) as Pick<RunConfig, (typeof keys)[number]>),
    own: picked(about, ownKeys(about.method)),
    epoch: Number.isSafeInteger(epoch) && epoch >= 0 ? epoch : 0,
  };
}

/** For the reader of tensors. */
export function knownEncoder(about: About): KnownEncoder {
  const { arch, imageSize, stem, patchSize, method } = about;
  return {
    arch,
    imageSize,
    head: pluginMethod(method) ? ownHead(about) : (methodOf({ method }).naming ?? 'queue'),
    ...(stem && { stem }),
    ...(patchSize !== undefined && { patchSize }),
  };
}

/** The head of a plugin's method: its tensors are those with which a run begins. */
function ownHead(about: About): Exclude<KnownEncoder['head'], string> {
  const { arch, imageSize, stem, patchSize, mocoDim: dim } = about;
  const flags = { ...aboutFlags(about), data: '', arch, imageSize, ...(stem && { stem }) };
  const config = resolveConfig(
    { ...flags, ...(patchSize !== undefined && { patchSize }) },
    { source: { data: '', split: 'train' } },
  );
  const head = Object.entries(initialParams(config)).filter(([name]) => name.startsWith('fc.'));
  const { encoder, encoderConfig } = encoderOf(config);
  const hidden = encoder.featureDim(encoderConfig);
  return {
    type: 'own',
    dim,
    hidden,
    shapes: Object.fromEntries(head.map(([name, { shape }]) => [name, shape])),
  };
}

/** For a configuration: what else the run was told, where it means something to its method. */
export function aboutFlags({
  method,
  mlp,
  mocoDim,
  mocoMlpDim,
  mean,
  std,
  own,
}: About): RunFlags & Pick<About, 'method'> {
  return { ...meaningful(method, { mlp, mocoDim, mocoMlpDim, mean, std, ...own }), method };
}
