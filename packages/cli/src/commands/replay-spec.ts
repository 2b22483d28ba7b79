/** SPEC.json of `moco replay`. */
import { UserError } from '@moco-ts/core';

export interface ReplaySpec {
  readonly method: 'moco-v1' | 'moco-v2';
  readonly arch: string;
  readonly stem: 'imagenet' | 'cifar';
  readonly dim: number;
  readonly mlp: boolean;
  readonly K: number;
  readonly m: number;
  readonly t: number;
  readonly lr: number;
  readonly momentum: number;
  readonly wd: number;
  readonly bn: 'split' | 'shuffle' | 'sync' | 'plain';
  readonly bnSplits: number;
  readonly symmetric: boolean;
  /** Default: as many as there are batches. */
  readonly steps?: number;
}

const defaults: ReplaySpec = {
  method: 'moco-v2',
  arch: 'resnet18',
  stem: 'cifar',
  dim: 128,
  mlp: true,
  K: 4096,
  m: 0.999,
  t: 0.2,
  lr: 0.03,
  momentum: 0.9,
  wd: 1e-4,
  bn: 'split',
  bnSplits: 8,
  symmetric: false,
};

const choices: Readonly<Record<string, readonly string[]>> = {
  method: ['moco-v1', 'moco-v2'],
  stem: ['imagenet', 'cifar'],
  bn: ['split', 'shuffle', 'sync', 'plain'],
};
const integers = ['dim', 'K', 'bnSplits', 'steps'];

/**
 * Fills in the defaults; null means the default.
 * @param source the file's name, for messages
 * @throws UserError for text that is no JSON object, unknown keys and values of a wrong kind
 */
export function parseSpec(text: string, source: string): ReplaySpec {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${source} is no JSON: ${(error as Error).message}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new UserError(`${source} holds no JSON object`);
  const given = Object.fromEntries(Object.entries(parsed).filter(([, value]) => value !== null));
  const known: Readonly<Record<string, unknown>> = { ...defaults, steps: 1 };
  for (const [key, value] of Object.entries(given)) {
    if (!(key in known))
      throw new UserError(`${source}: unknown key "${key}"; known are ${Object.keys(known).join(', ')}`, {
        code: 'setting-unknown',
        setting: key,
      });
    const kind = typeof known[key];
    if (typeof value !== kind)
      throw new UserError(`${source}: "${key}" should be a ${kind}`, {
        code: 'setting-invalid',
        setting: key,
        value,
      });
    if (choices[key] && !choices[key].includes(value as string))
      throw new UserError(`${source}: "${key}" should be one of ${choices[key].join(', ')}`, {
        code: 'setting-invalid',
        setting: key,
        value,
      });
    if (integers.includes(key) && !(Number.isSafeInteger(value) && (value as number) > 0))
      throw new UserError(`${source}: "${key}" should be a whole number from 1`, {
        code: 'setting-invalid',
        setting: key,
        value,
      });
  }
  const v1 = given.method === 'moco-v1';
  return { ...defaults, ...(v1 && { mlp: false, t: 0.07 }), ...given };
}
