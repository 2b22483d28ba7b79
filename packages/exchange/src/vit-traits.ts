/** What the names and shapes of a vision transformer's tensors tell of it. */
import type { VitSpec } from '@moco-ts/encoders';
import { gridOf } from './positions.ts';
import type { Shapes } from './shapes.ts';

/** What tells one ViT from another. */
export type VitTraits = Pick<
  VitSpec,
  'stem' | 'dim' | 'depth' | 'positions' | 'registers' | 'layerScale' | 'preNorm'
>;

/** One more than the largest index in names such as `layer1.<index>.`; 0 without any. */
export function count(shapes: Shapes, prefix: string): number {
  return Object.keys(shapes).reduce((most, name) => {
    if (!name.startsWith(prefix)) return most;
    const index = Number(/^(\d{1,4})\./.exec(name.slice(prefix.length))?.[1] ?? -1);
    return Math.max(most, index + 1);
  }, 0);
}

/** @param learned whether its positions are other than the fixed ones, which their shape does not tell */
export function traitsIn(shapes: Shapes, learned: boolean): VitTraits | undefined {
  const dim = shapes.cls_token?.[2];
  if (dim === undefined) return undefined;
  const patchesAlone = shapes.pos_embed !== undefined && gridOf(shapes.pos_embed)?.prefix === 0;
  return {
    stem: shapes['patch_embed.proj.weight'] === undefined ? 'conv' : 'patch',
    dim,
    depth: count(shapes, 'blocks.'),
    positions: patchesAlone ? 'learned-patches' : learned ? 'learned' : 'fixed',
    registers: shapes.reg_token?.[1] ?? 0,
    layerScale: 'blocks.0.ls1.gamma' in shapes,
    preNorm: 'norm_pre.weight' in shapes,
  };
}

/** What no encoder here has, by the names of its tensors. */
const lacks: readonly (readonly [name: RegExp, what: string])[] = [
  [/(^|[._])rel(ative)?_pos/, 'relative positions'],
  [/mlp\.(w12|w3|fc1_g)\./, 'a gated MLP (SwiGLU)'],
  [/^dist_token$/, 'a distillation token'],
  [/\.q_norm\./, 'normalised queries and keys'],
  [/^fc_norm\./, 'the mean of its tokens as its feature'],
  [/^attn_pool\./, 'attention pooling'],
  [/^patch_embed\.backbone\./, 'a convolutional network before its patches'],
  [/^blocks\.0\.attns\./, 'parallel layers in its blocks'],
];

/** What of a ViT's no encoder here has, in words; empty when nothing is known to be missing. */
export function lackingIn(shapes: Shapes): string[] {
  const names = Object.keys(shapes);
  const has = (name: RegExp) => names.some((own) => name.test(own));
  if (!has(/^blocks\.0\.attn/)) return [];
  const lacking = lacks.filter(([name]) => has(name)).map(([, what]) => what);
  // Rotary positions have no tensors: EVA's and DINOv3's blocks, which have them, tell by other names.
  if (has(/(^|\.)rope/) || (has(/\.(gamma_1|q_bias|q_proj\.weight)$/) && !has(lacks[0]![0])))
    lacking.unshift('rotary positions (RoPE)');
  const [inner, hidden] = [shapes['blocks.0.mlp.fc1.weight']?.[0], shapes['blocks.0.mlp.fc2.weight']?.[1]];
  if (inner !== hidden) lacking.push('a gated MLP (SwiGLU)');
  if (shapes.cls_token === undefined) lacking.push('no class token');
  return lacking;
}

/** A ViT that is like none here, in words. */
export function describeVit({
  stem,
  dim,
  depth,
  positions,
  registers,
  layerScale,
  preNorm,
}: VitTraits): string {
  const traits = [
    ...(stem === 'conv' ? ['a convolutional stem'] : []),
    ...(positions === 'learned-patches' ? ['positions of patches alone'] : []),
    ...(registers ? [`${registers} registers`] : []),
    ...(layerScale ? ['layer scale'] : []),
    ...(preNorm ? ['a normalisation before its blocks'] : []),
  ];
  return `a ViT of width ${dim} with ${[`${depth} blocks`, ...traits].join(', ')}`;
}
