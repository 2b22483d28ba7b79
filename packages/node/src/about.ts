/** What `moco convert` writes beside an encoder's tensors, so that it comes back as it was. */
import { CheckpointError, printable } from '@moco-ts/core';
import type { KnownEncoder } from '@moco-ts/exchange';
import { meaningful, methodOf, type RunConfig, type RunFlags, settingsFault } from '@moco-ts/run';

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
export type About = Pick<RunConfig, (typeof keys)[number]> & { readonly epoch: number };

/** As text, for the file. */
export function aboutText(config: RunConfig, epoch: number): string {
  return JSON.stringify({ ...Object.fromEntries(keys.map((key) => [key, config[key]])), epoch });
}

/** @throws CheckpointError for a text that `aboutText` can't have made */
export function parseAbout(text: string, file: string): About {
  const fail = (why: string) =>
    new CheckpointError(`${file}: what it says of its encoder can't be used: ${printable(why, 300)}`);
  let about: Partial<About> | null;
  try {
    about = JSON.parse(text) as Partial<About> | null;
  } catch {
    throw fail('it is no JSON');
  }
  if (typeof about !== 'object' || about === null) throw fail('it is no object');
  const optional = new Set<string>(['stem', 'patchSize']);
  const missing = keys.find((key) => about[key] === undefined && !optional.has(key));
  if (missing !== undefined) throw fail(`${missing} is missing`);
  const fault = settingsFault(about);
  if (fault !== undefined) throw fail(fault.message);
  const { epoch = 0 } = about;
  const chosen = Object.fromEntries(keys.map((key) => [key, about[key]]));
  return { ...chosen, epoch: Number.isSafeInteger(epoch) && epoch >= 0 ? epoch : 0 } as About;
}

/** For the reader of tensors. */
export function knownEncoder({ arch, imageSize, stem, patchSize, method }: About): KnownEncoder {
  return {
    arch,
    imageSize,
    head: methodOf({ method }).naming ?? 'queue',
    ...(stem && { stem }),
    ...(patchSize !== undefined && { patchSize }),
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
}: About): RunFlags & Pick<About, 'method'> {
  return { ...meaningful(method, { mlp, mocoDim, mocoMlpDim, mean, std }), method };
}
