/** SPEC.md's table of methods: what each sets, and which flags mean something to it. */
import { type Message, say, settingRef } from '@moco-ts/core';
import { traitsNamed } from '@moco-ts/encoders';
import type { Method } from './method-names.ts';
import { type Optimizer, type RunConfig, type RunFlags, settingEntries } from './settings.ts';

/** Whether an arch is a vision transformer, to which other defaults apply. */
const isVit = (arch: string): boolean => traitsNamed(arch).family === 'vit';

/** Whether the dictionary is a queue of keys. */
export const hasQueue = ({ method }: Pick<RunConfig, 'method'>): boolean =>
  method === 'moco-v1' || method === 'moco-v2';

type Row = Partial<RunConfig>;

/** What a method sets that differs from the common defaults. */
export function rowOf(method: Method, arch: string): Row {
  switch (method) {
    case 'moco-v1':
      return {};
    case 'moco-v2':
      return { mlp: true, mocoT: 0.2, augPlus: true, cos: true };
    case 'moco-v3':
      return {
        mocoT: isVit(arch) ? 0.2 : 1,
        mocoDim: 256,
        mocoM: 0.99,
        mocoMCos: true,
        cropMin: 0.08,
        bn: 'sync',
        optimizer: isVit(arch) ? 'adamw' : 'lars',
        epochs: 300,
        ...byStep,
      };
    case 'simclr':
      // T .1 and LARS: the paper's appendix B.
      return { mlp: true, mocoT: 0.1, augPlus: true, bn: 'sync', optimizer: 'lars', ...byStep };
    case 'instdisc':
      return { loss: 'nce', mocoK: 4096, bn: 'sync' };
  }
}

const byStep = { cos: true, lrPerStep: true, scaleLr: true } as const;

/** The rate for a batch of 256, unless one is named. */
export function defaultRate(method: Method, optimizer: Optimizer): number {
  if (method === 'moco-v3' && optimizer === 'adamw') return 1.5e-4;
  return { sgd: 0.03, adamw: 1e-3, lars: 0.3 }[optimizer];
}

export function defaultDecay(method: Method, optimizer: Optimizer): number {
  if (method === 'moco-v3' && optimizer === 'adamw') return 0.1;
  return optimizer === 'lars' ? 1e-6 : 1e-4;
}

/** MoCo v3 warms ViTs up for 40 of 100 or 300 epochs, SimCLR and MoCo v3's ResNets for 10; short runs for as large a share. */
export function defaultWarmup(method: Method, arch: string, epochs: number): number {
  if (method === 'moco-v3' && isVit(arch)) return Math.min(40, Math.floor(0.4 * epochs));
  return method === 'moco-v3' || method === 'simclr' ? Math.min(10, Math.floor(0.1 * epochs)) : 0;
}

/** Flags without those that the method has no use for: for recipes that are taken from one method to another. */
export function meaningful(method: Method, flags: RunFlags): RunFlags {
  const kept: RunFlags = { ...flags };
  for (const [key, { methods }] of settingEntries) if (methods && !methods.includes(method)) delete kept[key];
  if (method !== 'instdisc') delete kept.loss;
  if (kept.bn === 'shuffle' && !hasQueue({ method })) delete kept.bn;
  return kept;
}

/** A line on the first setting that the method has no use for. */
export function meaningless(method: Method, flags: RunFlags): Message | undefined {
  // It would mislead to take them in silence.
  for (const [key, { methods }] of settingEntries)
    if (methods && flags[key] !== undefined && flags[key] !== false && !methods.includes(method))
      return say`${settingRef(key)} means nothing to ${method}; it belongs to ${methods.join(', ')}`;
  if (flags.loss === 'nce' && method !== 'instdisc')
    return say`${settingRef('loss', 'nce')} belongs to instdisc; ${method} has infonce`;
  if (flags.bn === 'shuffle' && !hasQueue({ method }))
    return say`${settingRef('bn', 'shuffle')} permutes the keys of a queue, which ${method} has not; choose sync, split or plain`;
  return undefined;
}
