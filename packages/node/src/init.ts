/** A run from given weights (`init`): what it takes of their file. */
import {
  CheckpointError,
  counted,
  type Params,
  say,
  settingRef,
  type Tensor,
  type Wording,
} from '@moco-ts/core';
import { traitsNamed } from '@moco-ts/encoders';
import { type EncoderOptions, listed, resampledPositions } from '@moco-ts/exchange';
import { type RunConfig, type RunFlags, startFrom } from '@moco-ts/run';
import { asCheckpoint, checkFinite, isCheckpoint, openAny } from './foreign.ts';
import { registerPlugins } from './plugins.ts';

/** An encoder to begin from. */
interface Weights {
  readonly config: RunConfig;
  /** `q.*`, with its head under `q.fc`, and `predictor.*`. */
  readonly tensors: Params;
  /** By the file's names: what belongs to no encoder. */
  readonly unexpected: readonly string[];
  /** What was assumed of another program's file. */
  readonly notes: readonly Wording[];
}

/** What an encoder is and what its images are made of, which a run from it shares unless a flag says otherwise. */
const inherited = new Set(['arch', 'stem', 'patchSize', 'mean', 'std']);

async function openWeights(
  path: string,
  { arch, imageSize }: Pick<EncoderOptions, 'arch' | 'imageSize'>,
): Promise<Weights> {
  await registerPlugins();
  const options = { ...(arch !== undefined && { arch }), ...(imageSize !== undefined && { imageSize }) };
  const opened = await openAny(path, { ...options, withKey: true }, () => undefined);
  const { info, tensors } = isCheckpoint(opened) ? opened : asCheckpoint(opened, path);
  const { config } = info;
  if (arch !== undefined && config.arch !== arch)
    throw new CheckpointError(
      say`${path} is of ${config.arch}, not of ${arch}: leave ${settingRef('arch')} (or the preset) out, or give weights of ${arch}`,
      { code: 'checkpoint-mismatch' },
    );
  const own = Object.entries(tensors).filter(([name]) => /^(q|predictor)\./.test(name));
  const given: Params = Object.fromEntries(own);
  checkFinite(path, given);
  const { unexpected, notes } = isCheckpoint(opened) ? { unexpected: [], notes: [] } : opened.encoder;
  return { config, tensors: given, unexpected, notes };
}

/**
 * The flags of a run from given weights: of what the user leaves open, their architecture, its stem and patches, and the
 * normalisation of images. `imageSize`: of its own images, which a run need not share. `remarks`: what was assumed of the file.
 * @throws UserError for a file that can't be read, or is of another architecture than the flags name
 */
export async function flagsFrom(
  path: string,
  flags: RunFlags,
): Promise<{ readonly flags: RunFlags; readonly imageSize: number; readonly remarks: readonly Wording[] }> {
  const { arch, imageSize } = flags;
  const { config, notes } = await openWeights(path, {
    ...(arch !== undefined && { arch }),
    ...(imageSize !== undefined && { imageSize }),
  });
  // Without it a run on small images would choose the CIFAR stem.
  const stem = traitsNamed(config.arch).stems[0] === 'imagenet' && 'imagenet';
  const theirs = Object.entries({ ...(stem && { stem }), ...config }).filter(([key]) => inherited.has(key));
  return { flags: { ...Object.fromEntries(theirs), ...flags }, imageSize: config.imageSize, remarks: notes };
}

/** A ViT's learned positions, for the patches of this run. */
function positionsFor(fresh: Readonly<Params>, given: Params): Params {
  const name = 'q.pos_embed';
  const [wanted, theirs] = [fresh[name], given[name]];
  const fitted = wanted && theirs && resampledPositions(theirs, wanted.shape);
  return fitted ? { [name]: fitted } : {};
}

/**
 * The state of a new run: fresh, or from the weights that `init` names.
 * @param note called with a line on what was taken and what was not
 * @throws UserError for a file that can't be read, or is of another model
 */
export async function startingState(
  { init, arch, imageSize }: RunConfig,
  fresh: Record<string, Tensor>,
  note: (text: string) => void,
): Promise<Record<string, Tensor>> {
  if (init === undefined) return fresh;
  const { tensors, unexpected } = await openWeights(init, { arch, imageSize });
  const { state, taken, random, unused } = startFrom(
    fresh,
    { ...tensors, ...positionsFor(fresh, tensors) },
    init,
  );
  const own = (names: readonly string[]) => names.map((name) => name.replace(/^q\./, ''));
  const remarks = [
    ['random', own(random)],
    ['left out', [...own(unused), ...unexpected]],
  ] as const;
  const rest = remarks.map(([what, names]) =>
    names.length > 0 ? `; ${what}: ${names.length} (${listed(names, 4)})` : '',
  );
  note(`From ${init}: ${counted(taken.length, 'tensor')} of ${arch}${rest.join('')}`);
  return state;
}
