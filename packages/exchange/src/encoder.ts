/** From a foreign file's tensors to an encoder of this project, every weight accounted for. */
import {
  CheckpointError,
  encoderNamed,
  type Message,
  type Params,
  printable,
  type SettingRef,
  sameShape,
  say,
  settingRef,
  type Tensor,
  traitsOf,
  type Wording,
} from '@moco-ts/core';
import {
  areAlike,
  defaultSize,
  encoderConfigOf,
  type FoundArch,
  hasSmallStem,
  inferArch,
  vitSpecOf,
} from './arch.ts';
import { type FoundHead, headOf } from './head.ts';
import { type Layout, layoutOf, listed, type Names } from './layout.ts';
import { areLearned, checkPositions, gridOf, resampledPositions } from './positions.ts';
import { encoderShapes, type Shapes } from './shapes.ts';
import type { TensorFile } from './tensors.ts';
import { describeVit, lackingIn, traitsIn } from './vit-traits.ts';

export interface EncoderOptions {
  /** Default: what the shapes say. */
  readonly arch?: string;
  /** Pixels. Default: what a ViT's positions say, else 224, or 32 behind a stem for small images. */
  readonly imageSize?: number;
  /** Of the images that it was trained on, as settings of a run have them. Default what is known of the architecture's weights. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Take a ViT with other positions than the fixed ones. They are lost, and its features will not be the same. */
  readonly ignorePositions?: boolean;
  /** Leave a ViT's learned positions as the file has them, where they are for another image size: who takes them interpolates once. */
  readonly keepPositions?: boolean;
  /** Also read the momentum encoder, the queue and the predictor. */
  readonly withKey?: boolean;
  /** What the encoder's names have in front. Default: what is found. */
  readonly prefix?: string;
  /** What is known of the encoder beside its shapes, which tell the rest. */
  readonly known?: KnownEncoder;
}

/** What a file says about its encoder. */
export interface KnownEncoder extends FoundArch {
  readonly imageSize: number;
  /** The method whose head may be under `fc`, or the head of another. */
  readonly head: 'queue' | 'momentum' | FoundHead;
}

/** An encoder out of a foreign file. */
export interface FoundEncoder {
  readonly kind: Layout['kind'];
  /** The method whose official program names tensors so, as `--method` has it. */
  readonly method: string;
  readonly arch: FoundArch;
  /** Pixels. */
  readonly imageSize: number;
  /** Of the images that it was trained on, where the caller says it, or where it is not ImageNet's and the file does not say. */
  readonly pixels: Pick<EncoderOptions, 'mean' | 'std'>;
  readonly head?: FoundHead;
  /** The query encoder, its head under `fc` if it has one. */
  readonly query: Params;
  /** The momentum encoder, likewise; empty unless asked for. */
  readonly key: Params;
  /** `queue`, `queue_ptr`, `predictor.*`; empty unless asked for. */
  readonly rest: Params;
  /** Tensors by the file's names that this encoder has no place for, such as those of a classifier. */
  readonly unexpected: readonly string[];
  /** What else is worth knowing. */
  readonly notes: readonly Wording[];
}

/** Batches that a normalisation has seen: of no use to an encoder. */
const counter = /(^|\.)num_batches_tracked$/;

/**
 * Finds an encoder in a file: of the official MoCo v1 and v2 (`module.encoder_q.*`), of v3 (`module.base_encoder.*`), or
 * a network by torchvision's or timm's names.
 * @throws CheckpointError when the architecture is none that is known, or weights are missing or of other shapes
 */
export async function findEncoder(file: TensorFile, options: EncoderOptions = {}): Promise<FoundEncoder> {
  const layout = layoutOf(Object.keys(file.shapes), file.name, options.prefix);
  const shapes = shapesOf(file, layout.query);
  const { known } = options;
  const { pos_embed: place } = layout.query;
  const positions = place === undefined ? undefined : (await file.read([place]))[place];
  const learned = positions !== undefined && !options.ignorePositions && areLearned(positions);
  const arch = archOf(file, shapes, options.arch ?? known?.arch, known, learned);
  const imageSize = options.imageSize ?? known?.imageSize ?? arch.imageSize ?? defaultSize(arch);
  const encoder = encoderNamed(arch.arch);
  const config = encoderConfigOf(arch, imageSize);
  const expected = encoderShapes(encoder, config);
  const resized = positions && expected.pos_embed && resampledPositions(positions, expected.pos_embed);
  checkShapes(file.name, arch.arch, expected, resized ? { ...shapes, pos_embed: resized.shape } : shapes);
  const { family } = traitsOf(encoder);
  const hasToken = 'cls_token' in expected;
  const headKind = layout.kind === 'plain' ? known?.head : layout.kind;
  const head = headOf(headKind ?? 'plain', family, encoder.featureDim(config), shapes);

  const model = { ...expected, ...head?.shapes };
  const take = async (names: Names, wanted: (name: string) => boolean = () => true): Promise<Params> => {
    const chosen = Object.entries(names).filter(([name]) => wanted(name));
    const tensors = await file.read(chosen.map(([, own]) => own));
    return Object.fromEntries(chosen.map(([name, own]) => [name, tensors[own]!]));
  };
  const isModel = (name: string) => Object.hasOwn(model, name);
  const strange = Object.entries(layout.query).filter(
    ([name]) => !isModel(name) && !counter.test(name) && !(hasToken && isPositions(name)),
  );
  const inside = strange.filter(([name]) => partOfEncoder.test(name)).map(([, own]) => own);
  if (inside.length > 0)
    throw new CheckpointError(
      `${file.name}: ${arch.arch} has no place for ${inside.length} of its tensors, so it is another network: ${listed(inside, 3)}`,
      { code: 'checkpoint-mismatch' },
    );
  const query = floats(file.name, await take(layout.query, isModel));
  if (resized && !options.keepPositions) query.pos_embed = resized;
  const none: Params = {};
  const notes: Wording[] = hasToken ? positionNotes(file.name, expected, positions, options) : [];
  notes.push(...activationNotes(arch.arch, options.arch ?? known?.arch));
  if (arch.arch === 'vit_small' && layout.kind === 'plain' && known === undefined)
    notes.push(
      'vit_small has 12 heads here, as in MoCo v3; of weights for 6 heads (DeiT) the features would be wrong',
    );
  if (known === undefined) notes.push(...assumedNotes(arch, imageSize, options));
  if (layout.unexpected.length > 0 && layout.kind === 'plain')
    notes.push(`the encoder is what is under ${printable(layout.prefix)}`);
  return {
    kind: layout.kind,
    method: layout.kind === 'momentum' ? 'moco-v3' : head?.type === 'mlp' ? 'moco-v2' : 'moco-v1',
    arch,
    imageSize,
    pixels: pixelsOf(arch.arch, options, known),
    ...(head && { head }),
    query,
    key: options.withKey ? floats(file.name, await take(layout.key, isModel)) : none,
    rest: options.withKey ? await take(layout.rest, (name) => !counter.test(name)) : none,
    unexpected: [...strange.map(([, own]) => own), ...layout.unexpected],
    notes,
  };
}

/** Tensors before the features, which therefore change them: stem, blocks, tokens, normalisations, but no head. */
const partOfEncoder =
  /^(layer\d+|blocks|layers|stages|conv\d+|bn\d+|stem|patch_embed|norm|norm_pre|fc_norm|ln_pre|pre_norm|cls_token|dist_token|reg_token|register_tokens|ls\d+)(\.|$)/;

const isPositions = (name: string) => name === 'pos_embed';

function shapesOf({ shapes }: TensorFile, names: Names): Shapes {
  return Object.fromEntries(Object.entries(names).map(([name, own]) => [name, shapes[own]!]));
}

/** The named architecture with what is known and what the shapes say of its stem and patches; else what they say alone. */
function archOf(
  file: TensorFile,
  shapes: Shapes,
  named: string | undefined,
  known: KnownEncoder | undefined,
  learned: boolean,
): FoundArch {
  // A plugin's encoder may have what none here has.
  if (named === undefined || vitSpecOf(named)) refuseUnknown(file.name, shapes);
  const inferred = inferArch(
    shapes,
    named === undefined ? learned : vitSpecOf(named)?.positions === 'learned',
  );
  if (named !== undefined) {
    const arch = inferred && areAlike(inferred.arch, named) ? { ...inferred, arch: named } : { arch: named };
    if (known?.arch !== named) return arch;
    const { stem, patchSize } = known;
    return { ...arch, ...(stem && { stem }), ...(patchSize !== undefined && { patchSize }) };
  }
  if (inferred !== undefined) return inferred;
  const vit = traitsIn(shapes, learned);
  if (vit)
    throw new CheckpointError(
      say`${file.name}: ${describeVit(vit)}, and no encoder here is so; if it is one of yours, name it by ${settingRef('arch')}`,
    );
  throw new CheckpointError(
    say`${file.name}: its ${Object.keys(file.shapes).length} tensors (${listed(Object.keys(file.shapes), 3)}) are of no encoder that is known here; if they are of one, name it by ${settingRef('arch')}`,
  );
}

/** @throws CheckpointError for a ViT with what no encoder here has */
function refuseUnknown(file: string, shapes: Shapes): void {
  const lacking = lackingIn(shapes);
  if (lacking.length > 0)
    throw new CheckpointError(`${file}: a ViT with ${lacking.join(' and ')}, which no encoder here has`, {
      code: 'checkpoint-mismatch',
    });
}

/** What to tell of a ViT's positions. @throws CheckpointError when the arch has fixed ones, and the file others */
function positionNotes(
  file: string,
  { pos_embed: wanted }: Shapes,
  positions: Tensor | undefined,
  options: EncoderOptions,
): string[] {
  if (wanted === undefined) return checkPositions(file, positions, options);
  const [from, to] = [positions!.shape, wanted].map((shape) => gridOf(shape)?.side);
  return from === to || options.keepPositions
    ? []
    : [`its positions were interpolated, from ${from}x${from} patches to ${to}x${to}`];
}

/** Mean and deviation: the caller's, else those of the published weights of an architecture. */
function pixelsOf(
  arch: string,
  { mean, std }: EncoderOptions,
  known: KnownEncoder | undefined,
): FoundEncoder['pixels'] {
  const published = known === undefined ? vitSpecOf(arch)?.pixels : undefined;
  return {
    ...(published && { mean: published.mean, std: published.std }),
    ...(mean && { mean }),
    ...(std && { std }),
  };
}

/** What neither the file nor the caller says. */
function assumedNotes(arch: FoundArch, imageSize: number, options: EncoderOptions): Wording[] {
  const sized = (options.imageSize ?? arch.imageSize) !== undefined;
  const normalised = options.mean !== undefined && options.std !== undefined;
  const spec = vitSpecOf(arch.arch);
  const assumed = [
    ...(sized ? [] : [`${imageSize} px`]),
    ...(hasSmallStem(arch.arch) && arch.stem === undefined ? ['a stem of stride 2'] : []),
    ...(normalised ? [] : [`${spec?.pixels?.name ?? 'ImageNet'}'s mean and standard deviation`]),
  ];
  if (assumed.length === 0) return [];
  const settings = [...(sized ? [] : ['imageSize']), ...(normalised ? [] : ['mean', 'std'])];
  const named = settings.map((name, i) => settingRef(name, undefined, i === 0 ? 'moco import' : undefined));
  const said = say`not said by the file, so assumed: ${assumed.join(', ')}${listOf(named)}`;
  // The tensors of AugReg's ViTs are as DeiT's.
  const augReg =
    !normalised && spec?.positions === 'learned' && spec.patchSize === undefined && !spec.preNorm;
  if (!augReg || options.arch !== undefined) return [said];
  return [
    said,
    say`timm's vit_*_patch16_224 (AugReg), which have the same tensors, are for ${settingRef('mean', '.5')} ${settingRef('std', '.5')}`,
  ];
}

/** ` (a, b, c)`; nothing of none. */
function listOf(settings: readonly SettingRef[]): Message | string {
  const [first, ...rest] = settings;
  if (first === undefined) return '';
  return say` (${rest.reduce((list: Message, setting) => say`${list}, ${setting}`, say`${first}`)})`;
}

/** What to tell of an activation function, which no tensor tells. */
function activationNotes(arch: string, named: string | undefined): Wording[] {
  const quick = vitSpecOf(arch.replace(/_clip_/, '_clip_quickgelu_'));
  if (named !== undefined || !quick || quick.name === arch) return [];
  return [say`GELU is assumed; weights of OpenAI's are for the quick one: ${settingRef('arch', quick.name)}`];
}

function checkShapes(file: string, arch: string, expected: Shapes, shapes: Shapes): void {
  const names = Object.keys(expected);
  const likely = inferArch(shapes)?.arch ?? arch;
  const verdict = likely === arch ? 'it is another model' : `it is of ${likely}`;
  const missing = names.filter((name) => shapes[name] === undefined);
  if (missing.length === names.length)
    throw new CheckpointError(
      `${file}: none of its tensors is one of ${arch}${likely === arch ? '' : `: ${verdict}`}`,
      {
        code: 'checkpoint-mismatch',
      },
    );
  for (const name of names) {
    const shape = shapes[name];
    if (shape !== undefined && !sameShape(shape, expected[name]!))
      throw new CheckpointError(
        `${file}: "${printable(name)}" is [${shape.join(', ')}], that of ${arch} [${expected[name]!.join(', ')}]: ${verdict}`,
        { code: 'checkpoint-mismatch' },
      );
  }
  if (missing.length > 0)
    throw new CheckpointError(
      `${file}: ${missing.length} of the ${names.length} weights of ${arch} are missing: ${listed(missing)}`,
      { code: 'checkpoint-mismatch' },
    );
}

/** Weights, which must have been floating-point numbers of some kind. */
function floats(file: string, params: Params): Params {
  for (const [name, { dtype }] of Object.entries(params))
    if (dtype !== 'float32')
      throw new CheckpointError(`${file}: "${printable(name)}" is ${dtype}, no floating-point weight`);
  return params;
}
