/** Whose names a state dict has: official MoCo programs', or torchvision's and timm's plain ones. */
import { CheckpointError, printable, under } from '@moco-ts/core';
import { type Dict, isKind, type TensorRef, type Value } from './values.ts';

/** Names of this project, each with the file's own. */
export type Names = Readonly<Record<string, string>>;

/** What a file holds. */
export interface Layout {
  /** `queue`: MoCo v1 and v2; `momentum`: MoCo v3; `plain`: one network. */
  readonly kind: 'queue' | 'momentum' | 'plain';
  /** The (query) encoder, its head or projector under `fc`. */
  readonly query: Names;
  /** The momentum encoder, likewise. */
  readonly key: Names;
  /** `queue`, `queue_ptr`, `predictor.*` */
  readonly rest: Names;
  /** By the names of the file: what belongs to none of those. */
  readonly unexpected: readonly string[];
}

/** Where programs keep a network's state dict beside other things: the official MoCo, timm and DeiT. */
const wrappers = ['state_dict', 'model'] as const;

/**
 * The tensors of a checkpoint's state dict, by the names of the file.
 * @throws CheckpointError when there are none
 */
export function stateDict(value: Value, file: string): Map<string, TensorRef> {
  const top = dictOf(value);
  const wrapped = wrappers.map((name) => dictOf(top?.get(name))).find((found) => found !== undefined);
  const dict: Dict = wrapped ?? top ?? new Map();
  const tensors = new Map<string, TensorRef>();
  for (const [name, item] of dict)
    if (typeof name === 'string' && isKind(item, 'tensor')) tensors.set(name, item);
  if (tensors.size === 0)
    throw new CheckpointError(
      `${file} holds no state dict: tensors by name are expected at the top, or under ${wrappers.join(' or ')}`,
    );
  return tensors;
}

function dictOf(value: Value | undefined): Dict | undefined {
  return value instanceof Map ? value : undefined;
}

/** What wrappers of modules put in front of each name: data parallelism, compilation. */
const wrapping = /^(module\.|_orig_mod\.)+/;

/** Sorts a state dict's names. */
export function layoutOf(names: readonly string[]): Layout {
  const bare: Names = Object.fromEntries(names.map((name) => [name.replace(wrapping, ''), name]));
  const has = (prefix: string) => Object.keys(bare).some((name) => name.startsWith(`${prefix}.`));
  if (has('encoder_q'))
    return {
      kind: 'queue',
      query: under('encoder_q', bare),
      key: under('encoder_k', bare),
      rest: matching(bare, /^queue(_ptr)?$/),
      unexpected: Object.values(matching(bare, /^(?!encoder_[qk]\.|queue$|queue_ptr$)/)),
    };
  if (has('base_encoder'))
    return {
      kind: 'momentum',
      query: projectorAsFc(under('base_encoder', bare)),
      key: projectorAsFc(under('momentum_encoder', bare)),
      rest: matching(bare, /^predictor\./),
      unexpected: Object.values(matching(bare, /^(?!(base_encoder|momentum_encoder|predictor)\.)/)),
    };
  return { kind: 'plain', query: bare, key: {}, rest: {}, unexpected: [] };
}

function matching(names: Names, pattern: RegExp): Names {
  return Object.fromEntries(Object.entries(names).filter(([name]) => pattern.test(name)));
}

/** MoCo v3 puts the projector where the network has its classifier: `head` of ViTs, `fc` of ResNets. */
function projectorAsFc(names: Names): Names {
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
