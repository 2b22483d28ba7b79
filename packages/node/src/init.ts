/** A run from given weights (`init`): what it takes of their file. */
import {
  CheckpointError,
  counted,
  type Params,
  sameShape,
  say,
  settingRef,
  type Tensor,
  type Wording,
} from '@moco-ts/core';
import { traitsNamed } from '@moco-ts/encoders';
import { type EncoderOptions, listed, resampledPositions } from '@moco-ts/exchange';
import { type RunConfig, type RunFlags, startFrom } from '@moco-ts/run';
import { asCheckpoint, checkFinite, choiceOf, isCheckpoint, openAny } from './foreign.ts';
import { registerPlugins } from './plugins.ts';

/** An encoder to begin from. */
export interface Weights {
  /** The file that was read. */
  readonly path: string;
  readonly config: RunConfig;
  /** `q.*`, with its head under `q.fc`, and `predictor.*`. */
  readonly tensors: Params;
  /** By the file's names: what belongs to no encoder. */
  readonly unexpected: readonly string[];
  /** What was assumed of another program's file, or that a run's best checkpoint is not its newest. */
  readonly notes: readonly Wording[];
}

/** What an encoder is and what its images are made of, which a run from it shares unless a flag says otherwise. */
const inherited = new Set(['arch', 'stem', 'patchSize', 'mean', 'std']);

async function openWeights(
  path: string,
  options: Pick<EncoderOptions, 'arch' | 'imageSize' | 'mean' | 'std'>,
  warn: (text: Wording) => void = () => undefined,
): Promise<Weights> {
  await registerPlugins();
  const { arch } = options;
  const opened = await openAny(path, { ...options, withKey: true, keepPositions: true }, warn);
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
  const choice = isCheckpoint(opened) ? choiceOf(opened) : undefined;
  return {
    path: isCheckpoint(opened) ? opened.path : path,
    ...{ config, tensors: given, unexpected },
    notes: choice === undefined ? notes.map((note) => say`${path}: ${note}`) : [choice],
  };
}

/** What a run begins from. */
export interface Beginning {
  /** With what the weights say of what the user leaves open. */
  readonly flags: RunFlags;
  /** Of the weights' own images, which a run need not share. */
  readonly imageSize: number;
  /** What was assumed or chosen of the file, which they name. */
  readonly remarks: readonly Wording[];
  /** The weights, once: who takes them frees them. */
  readonly take: () => Weights | undefined;
}

/**
 * The flags of a run from given weights: of what the user leaves open, their architecture, its stem and patches, and the
 * normalisation of images.
 * @param warn called for a damaged checkpoint that is skipped
 * @throws UserError for a file that can't be read, or is of another architecture than the flags name
 */
export async function flagsFrom(
  path: string,
  flags: RunFlags,
  warn?: (text: Wording) => void,
): Promise<Beginning> {
  const { arch, imageSize, mean, std } = flags;
  let weights: Weights | undefined = await openWeights(
    path,
    {
      ...(arch !== undefined && { arch }),
      ...(imageSize !== undefined && { imageSize }),
      ...(mean && { mean }),
      ...(std && { std }),
    },
    warn,
  );
  const { config, notes: remarks } = weights;
  // Without it a run on small images would choose the CIFAR stem.
  const stem = traitsNamed(config.arch).stems[0] === 'imagenet' && 'imagenet';
  const theirs = Object.entries({ ...(stem && { stem }), ...config }).filter(([key]) => inherited.has(key));
  const take = () => {
    const taken = weights;
    weights = undefined;
    return taken;
  };
  return { flags: { ...Object.fromEntries(theirs), ...flags }, imageSize: config.imageSize, remarks, take };
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
 * @param weights what `init` names, where it was read already
 * @throws UserError for a file that can't be read, or is of another model
 */
export async function startingState(
  { init, arch, imageSize }: RunConfig,
  fresh: Record<string, Tensor>,
  note: (text: string) => void,
  weights?: Weights,
): Promise<Record<string, Tensor>> {
  if (init === undefined) return fresh;
  const { path, tensors, unexpected } = weights ?? (await openWeights(init, { arch, imageSize }));
  const positions = positionsFor(fresh, tensors);
  const { state, taken, random, unused } = startFrom(fresh, { ...tensors, ...positions }, init);
  const own = (names: readonly string[]) => names.map((name) => name.replace(/^q\./, ''));
  const remarks = [
    ['random', own(random)],
    ['left out', [...own(unused), ...unexpected]],
  ] as const;
  const rest = remarks.map(([what, names]) =>
    names.length > 0 ? `; ${what}: ${names.length} (${listed(names, 4)})` : '',
  );
  const isResized = Object.entries(positions).some(
    ([name, { shape }]) => !sameShape(shape, tensors[name]!.shape),
  );
  const resized = isResized ? '; positions interpolated for the patches of this image size' : '';
  note(`From ${path}: ${counted(taken.length, 'tensor')} of ${arch}${resized}${rest.join('')}`);
  return state;
}
