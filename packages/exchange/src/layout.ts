/** Whose names a state dict has: the official MoCo programs', or torchvision's and timm's plain ones, under any prefix. */
import { CheckpointError, printable, say, settingRef, under } from '@moco-ts/core';
import { attributesOf } from './pickle-machine.ts';
import { type Dict, isKind, type TensorRef, type Value } from './values.ts';

/** Names of this project, each with the file's own. */
export type Names = Readonly<Record<string, string>>;

/** What a file holds. */
export interface Layout {
  /** `queue`: MoCo v1 and v2; `momentum`: MoCo v3; `plain`: one network. */
  readonly kind: 'queue' | 'momentum' | 'plain';
  /** What the encoder's names have in front in the file, with its point; without what wrappers put there. */
  readonly prefix: string;
  /** The (query) encoder, its head or projector under `fc`. */
  readonly query: Names;
  /** The momentum encoder, likewise. */
  readonly key: Names;
  /** `queue`, `queue_ptr`, `predictor.*` */
  readonly rest: Names;
  /** By the names of the file: what belongs to none of those. */
  readonly unexpected: readonly string[];
}

/** Under which `moco convert` keeps what the tensors don't tell: in safetensors' metadata, and beside a state dict. */
export const aboutKey = 'moco_encoder';

/** The tensors of a file by name, and what it says about them. */
export interface FoundTensors {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** The text under {@link aboutKey}. */
  readonly about?: string;
}

/** Where programs keep a network's state dict beside other things. */
const wrappers = ['state_dict', 'model', 'model_state_dict'] as const;

/**
 * The tensors of a checkpoint's state dict, by the names of the file. Where there are several dicts of tensors (DINO's
 * `student` and `teacher`), their names become prefixes of the tensors' names.
 * @throws CheckpointError when there are none
 */
export function stateDict(value: Value, file: string): FoundTensors {
  const top = dictOf(value) ?? new Map();
  const wrapped = wrappers.map((name) => dictOf(top.get(name))).find((dict) => dict !== undefined);
  const dict = wrapped ?? top;
  const tensors = new Map(tensorsIn(dict, ''));
  if (tensors.size === 0 && wrapped === undefined)
    for (const [name, item] of top)
      if (typeof name === 'string' && item instanceof Map)
        for (const [own, tensor] of tensorsIn(item, `${name}.`)) tensors.set(own, tensor);
  if (tensors.size === 0)
    throw new CheckpointError(
      `${file} holds no state dict: tensors by name are expected at the top, or under ${wrappers.slice(0, -1).join(', ')} or ${wrappers.at(-1)}`,
    );
  const about = attributesOf(dict)?.get(aboutKey);
  return { tensors, ...(typeof about === 'string' && { about }) };
}

function* tensorsIn(dict: Dict, prefix: string): Generator<[string, TensorRef]> {
  for (const [name, item] of dict)
    if (typeof name === 'string' && isKind(item, 'tensor')) yield [`${prefix}${name}`, item];
}

function dictOf(value: Value | undefined): Dict | undefined {
  return value instanceof Map ? value : undefined;
}

/** What wrappers of modules put in front of each name: data parallelism, compilation. */
const wrapping = /^(module\.|_orig_mod\.)+/;

/** Names that every network of a kind has, and that tell where it is kept: `backbone.layer1.0.conv1.weight`. */
const telling = /(?:^|\.)(layer1\.0\.conv1\.weight|blocks\.0\.attn\.qkv\.weight)$/;

/** Of several networks the one that programs evaluate: DINO's teacher, else the one that is no running mean of another. */
const preferred: readonly ((prefix: string) => boolean)[] = [
  (prefix) => /(^|[._])teacher[._]/.test(prefix),
  (prefix) => !/(^|[._])(momentum|target|ema|key|student)([._]|$)/.test(prefix),
];

/**
 * Sorts a state dict's names.
 * @param prefix what the encoder's names have in front; default: what is found
 * @throws CheckpointError when there are several networks, or none under the prefix
 */
export function layoutOf(names: readonly string[], file = 'the file', prefix?: string): Layout {
  const bare = layersByName(Object.fromEntries(names.map((name) => [name.replace(wrapping, ''), name])));
  const has = (front: string) => Object.keys(bare).some((name) => name.startsWith(`${front}.`));
  if (prefix !== undefined) return plainLayout(bare, dotted(prefix), file);
  if (has('encoder_q'))
    return {
      kind: 'queue',
      prefix: 'encoder_q.',
      query: under('encoder_q', bare),
      key: under('encoder_k', bare),
      rest: matching(bare, /^queue(_ptr)?$/),
      unexpected: Object.values(matching(bare, /^(?!encoder_[qk]\.|queue$|queue_ptr$)/)),
    };
  if (has('base_encoder'))
    return {
      kind: 'momentum',
      prefix: 'base_encoder.',
      query: projectorAsFc(under('base_encoder', bare)),
      key: projectorAsFc(under('momentum_encoder', bare)),
      rest: matching(bare, /^predictor\./),
      unexpected: Object.values(matching(bare, /^(?!(base_encoder|momentum_encoder|predictor)\.)/)),
    };
  return plainLayout(bare, findPrefix(Object.keys(bare), file), file);
}

/** The layers of a torchvision ResNet's `children()`, as lightly's examples put them in a `Sequential`. */
const children = new Map(
  Object.entries({ 0: 'conv1', 1: 'bn1', 4: 'layer1', 5: 'layer2', 6: 'layer3', 7: 'layer4' }),
);
const firstBlock = /^(.*\.)?4\.0\.conv1\.weight$/;

/** Names as they are, but those of a ResNet whose layers are numbered: `backbone.4.0.conv1.weight`. */
function layersByName(names: Names): Names {
  const fronts = Object.keys(names).flatMap((name) => {
    const match = firstBlock.exec(name);
    return match ? [match[1] ?? ''] : [];
  });
  return Object.fromEntries(
    Object.entries(names).map(([name, own]) => {
      const front = fronts.find((start) => name.startsWith(start));
      if (front === undefined) return [name, own];
      const [child, ...rest] = name.slice(front.length).split('.');
      return [`${front}${[children.get(child!) ?? child, ...rest].join('.')}`, own];
    }),
  );
}

const dotted = (prefix: string) => (prefix === '' || prefix.endsWith('.') ? prefix : `${prefix}.`);

function findPrefix(names: readonly string[], file: string): string {
  const fronts = new Set(
    names
      .filter((name) => telling.test(name))
      .map((name) => name.slice(0, name.length - telling.exec(name)![1]!.length)),
  );
  const prefixes = fronts.has('') ? [''] : [...fronts];
  if (prefixes.length <= 1) return prefixes[0] ?? '';
  const chosen = preferred.map((fits) => prefixes.filter(fits)).find(({ length }) => length === 1);
  if (chosen === undefined)
    throw new CheckpointError(
      say`${file} holds ${prefixes.length} networks: ${listed(prefixes)}; take one of them by ${settingRef('prefix', undefined, 'moco import')}`,
    );
  return chosen[0]!;
}

function plainLayout(bare: Names, prefix: string, file: string): Layout {
  const inside = Object.entries(bare).filter(([name]) => name.startsWith(prefix));
  if (inside.length === 0)
    throw new CheckpointError(
      `${file}: no name of its tensors begins with ${printable(prefix)}; they are ${listed(Object.values(bare), 3)}`,
      { setting: 'prefix', value: prefix },
    );
  return {
    kind: 'plain',
    prefix,
    query: Object.fromEntries(inside.map(([name, own]) => [name.slice(prefix.length), own])),
    key: {},
    rest: {},
    unexpected: Object.entries(bare)
      .filter(([name]) => !name.startsWith(prefix))
      .map(([, own]) => own),
  };
}

function matching(names: Names, pattern: RegExp): Names {
  return Object.fromEntries(Object.entries(names).filter(([name]) => pattern.test(name)));
}

/** MoCo v3 puts the projector where the network has its classifier: `head` of ViTs, `fc` of ResNets. */
export function projectorAsFc(names: Names): Names {
  return Object.fromEntries(
    Object.entries(names).map(([name, own]) => [name.replace(/^head\./, 'fc.'), own]),
  );
}

/** `fc.weight, fc.bias and 3 more` */
export function listed(names: readonly string[], limit = 5): string {
  const shown = names
    .slice(0, limit)
    .map((name) => printable(name))
    .join(', ');
  return names.length > limit ? `${shown} and ${names.length - limit} more` : shown;
}
