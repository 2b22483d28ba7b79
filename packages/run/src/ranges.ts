/**
 * What values a setting may have. One table judges flags of the command, options of the library and the settings stored
 * in files, so that none of them can ask for what the others refuse.
 */
import { methods } from './methods.ts';

/** What a value may be. */
export type Rule =
  | {
      readonly type: 'number';
      readonly whole?: boolean;
      readonly least: number;
      readonly most: number;
      /** `least` itself is too little. */
      readonly above?: boolean;
    }
  | { readonly type: 'name'; readonly of: readonly string[] }
  | { readonly type: 'text' }
  | { readonly type: 'truth' }
  | { readonly type: 'list'; readonly of: Rule; readonly least: number; readonly most: number };

/** A whole number in [least, most]. */
export const whole = (least: number, most: number): Rule => ({ type: 'number', whole: true, least, most });
const number = (least: number, most: number): Rule => ({ type: 'number', least, most });
const above = (least: number, most: number): Rule => ({ type: 'number', least, most, above: true });
const name = (of: readonly string[]): Rule => ({ type: 'name', of });
const list = (of: Rule, least: number, most: number): Rule => ({ type: 'list', of, least, most });
const truth: Rule = { type: 'truth' };
const text: Rule = { type: 'text' };

/** In [0, 1]. */
const share = number(0, 1);
/** In (0, 1]. */
const positiveShare = above(0, 1);
/** In [-1, 1]. */
export const cosine = number(-1, 1);

/** The largest numbers that a step can be fed. */
const largestFloat = 3.4e38;
/** Of lengths of a vector and widths of a layer: a matrix of two has 1 GB. */
const widest = 16_384;
/** More epochs, or steps between two events, than any run has. */
const longest = 1_000_000_000;

/** Characters of a path or a name: what Linux takes of a path, in bytes. */
const longestText = 4096;

/** The settings of a run by name, and a few that other commands share. */
export const rules = {
  data: text,
  designers: list(text, 1, 16),
  holdOut: share,
  method: name(methods),
  arch: text,
  imageSize: whole(1, 4096),
  stem: name(['imagenet', 'cifar']),
  patchSize: whole(1, 4096),
  stopGradConv1: truth,
  mocoDim: whole(1, widest),
  mocoK: whole(1, 2 ** 24),
  mocoM: share,
  mocoMCos: truth,
  mocoT: above(0, 1000),
  mlp: truth,
  mocoMlpDim: whole(1, widest),
  loss: name(['infonce', 'nce']),
  bankMomentum: share,
  bankDraw: name(['picture', 'batch']),
  proximal: number(0, largestFloat),
  augPlus: truth,
  blur: truth,
  cropMin: positiveShare,
  mean: list(number(-1000, 1000), 3, 3),
  std: list(above(0, 1000), 3, 3),
  batchSize: whole(1, 65_536),
  epochs: whole(1, longest),
  startEpoch: whole(0, longest),
  optimizer: name(['sgd', 'adamw', 'lars']),
  lr: above(0, largestFloat),
  scaleLr: truth,
  momentum: share,
  wd: number(0, largestFloat),
  schedule: list(whole(0, longest), 0, 1000),
  cos: truth,
  warmupEpochs: number(0, longest),
  lrPerStep: truth,
  bn: name(['shuffle', 'split', 'sync', 'plain']),
  bnSplits: whole(1, 65_536),
  symmetric: truth,
  seed: whole(0, 2 ** 32 - 1),
  backend: text,
  plugin: list(text, 0, 64),
  threads: whole(1, 1024),
  workers: whole(0, 256),
  maxBad: whole(0, longest),
  isolate: truth,
  printFreq: whole(1, longest),
  saveEvery: whole(1, longest),
  saveEverySteps: whole(1, longest),
  keep: whole(1, longest),
  knnEvery: whole(0, longest),
  maxSteps: whole(1, longest),
  /** Of a search. */
  neighbours: whole(1, 1_000_000),
} as const satisfies Record<string, Rule>;

export type RuleName = keyof typeof rules;

/** What is wrong with a value, as a sentence that asks for a right one; undefined if nothing is. */
export function faultOf(rule: Rule, value: unknown): string | undefined {
  switch (rule.type) {
    case 'number':
      return isWithin(rule, value) ? undefined : `Give ${described(rule)}.`;
    case 'name':
      return rule.of.includes(value as string) ? undefined : `Choose from ${rule.of.join(', ')}.`;
    case 'truth':
      return typeof value === 'boolean' ? undefined : 'Give true or false.';
    case 'text':
      return typeof value === 'string' && value !== '' && value.length <= longestText && !value.includes('\0')
        ? undefined
        : `Give a text of at most ${longestText} characters.`;
    case 'list': {
      if (!Array.isArray(value) || value.length < rule.least || value.length > rule.most)
        return `Give a list of ${rule.least === rule.most ? rule.least : `${rule.least} to ${rule.most}`} values.`;
      return value.map((item) => faultOf(rule.of, item)).find((fault) => fault !== undefined);
    }
  }
}

function isWithin(rule: Extract<Rule, { type: 'number' }>, value: unknown): boolean {
  if (typeof value !== 'number' || (rule.whole && !Number.isSafeInteger(value))) return false;
  return (rule.above ? value > rule.least : value >= rule.least) && value <= rule.most;
}

/** `a whole number from 1 to 16384`, `a number above 0, at most 1` */
function described({
  whole: isWhole,
  least,
  most,
  above: beyond,
}: Extract<Rule, { type: 'number' }>): string {
  const kind = isWhole ? 'a whole number' : 'a number';
  const bounded = most < longest;
  if (beyond) return `${kind} above ${least}${bounded ? `, at most ${most}` : ''}`;
  return `${kind} from ${least}${most < largestFloat ? ` to ${most}` : ''}`;
}

/**
 * The first setting that is out of its range, with what to give instead: `threads is 100000. Give a whole number from 1 to
 * 1024.`; undefined if there is none. Names that the table has not are passed over, as are those without a value.
 */
export function settingsFault(settings: object): string | undefined {
  for (const [key, value] of Object.entries(settings)) {
    if (value === undefined || !Object.hasOwn(rules, key)) continue;
    const fault = faultOf(rules[key as RuleName], value);
    if (fault !== undefined) return `${key} is ${shown(value)}. ${fault}`;
  }
  return undefined;
}

function shown(value: unknown): string {
  const json = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
  return json.length > 60 ? `${json.slice(0, 60)}...` : json;
}
