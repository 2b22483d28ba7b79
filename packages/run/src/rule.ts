/** Which values are valid: the same rules for flags, library options and stored settings. */

/** What a value may be; `Value` is the type of those that are right. */
export type Rule<Value = unknown> = Shape & { readonly value?: Value };

type Shape =
  | NumberShape
  | NameShape
  | ListShape
  | TextShape
  | { readonly type: 'truth' }
  | { readonly type: 'duration' };

interface NumberShape {
  readonly type: 'number';
  readonly whole?: boolean;
  readonly least: number;
  readonly most: number;
  /** `least` itself is too little. */
  readonly above?: boolean;
}

interface NameShape {
  readonly type: 'name';
  readonly of: readonly string[];
  /** What names of earlier versions are now. They stay right. */
  readonly formerly?: Readonly<Record<string, string>>;
}

interface TextShape {
  readonly type: 'text';
  /** What is right, and how it looks, as a sentence that asks for it. */
  readonly like?: { readonly pattern: RegExp; readonly asked: string };
}

export interface ListShape {
  readonly type: 'list';
  readonly of: Shape;
  readonly least: number;
  readonly most: number;
}

/** A whole number in [least, most]. */
export const whole = (least: number, most: number): Rule<number> => ({
  type: 'number',
  whole: true,
  least,
  most,
});
/** A number in [least, most]. */
export const number = (least: number, most: number): Rule<number> => ({ type: 'number', least, most });
/** A number in (least, most]. */
export const above = (least: number, most: number): Rule<number> => ({
  type: 'number',
  least,
  most,
  above: true,
});
/** One of some names. @param formerly what names of earlier versions are now */
export const name = <const Name extends string>(
  of: readonly Name[],
  formerly: Readonly<Record<string, NoInfer<Name>>> = {},
): Rule<Name> => ({ type: 'name', of, formerly });
/** From `least` to `most` values of one rule. */
export const list = <Value>(of: Rule<Value>, least: number, most: number): Rule<readonly Value[]> => ({
  type: 'list',
  of,
  least,
  most,
});
export const truth: Rule<boolean> = { type: 'truth' };
export const text: Rule<string> = { type: 'text' };
/** A text that looks so. @param asked a sentence that asks for it */
export const textLike = (pattern: RegExp, asked: string): Rule<string> => ({
  type: 'text',
  like: { pattern, asked },
});
/** Seconds, or a text such as `90s`, `30m` or `1h30m`; configurations have seconds. */
export const duration: Rule<number> = { type: 'duration' };

/** In [-1, 1]. */
export const cosine = number(-1, 1);

/** The largest number that a step can be fed. */
export const largestFloat = 3.4e38;
/** More epochs, or steps between two events, than any run has. */
export const longest = 1_000_000_000;

const seconds: NumberShape = { type: 'number', least: 1, most: longest };

/** Characters of a path or a name: what Linux takes of a path, in bytes. */
const longestText = 4096;

/** What is wrong with a value, as a sentence that asks for a right one; undefined if nothing is. */
export function faultOf(rule: Rule, value: unknown): string | undefined {
  switch (rule.type) {
    case 'number':
      return isWithin(rule, value) ? undefined : `Give ${described(rule)}.`;
    case 'name':
      return rule.of.includes(currentValue(rule, value) as string)
        ? undefined
        : `Choose from ${rule.of.join(', ')}.`;
    case 'truth':
      return typeof value === 'boolean' ? undefined : 'Give true or false.';
    case 'text':
      return isText(value) && (rule.like?.pattern.test(value) ?? true)
        ? undefined
        : (rule.like?.asked ?? `Give a text of at most ${longestText} characters.`);
    case 'duration':
      return isWithin(seconds, currentValue(rule, value))
        ? undefined
        : 'Give a time from 1s on, such as 90s, 30m or 1h30m.';
    case 'list': {
      if (!Array.isArray(value) || value.length < rule.least || value.length > rule.most)
        return `Give a list of ${rule.least === rule.most ? rule.least : `${rule.least} to ${rule.most}`} values.`;
      return value.map((item) => faultOf(rule.of, item)).find((fault) => fault !== undefined);
    }
  }
}

const isText = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= longestText && !value.includes('\0');

/** A value as configurations have it: by the name that this version gives it, and a duration in seconds. */
export function currentValue(rule: Rule, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (rule.type === 'duration') return secondsOf(value);
  return rule.type === 'name' && rule.formerly && Object.hasOwn(rule.formerly, value)
    ? rule.formerly[value]
    : value;
}

const units = { d: 86_400, h: 3600, m: 60, s: 1 };

/** The seconds of `1h30m`; NaN for a text that is no duration. */
function secondsOf(text: string): number {
  const parts = /^(?:([\d.]+)d)?(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?$/.exec(text);
  if (!parts || text === '') return Number.NaN;
  return Object.values(units).reduce((sum, unit, i) => sum + unit * Number(parts[i + 1] ?? 0), 0);
}

/** A duration as flags take it: `1h30m`. @param seconds shown to thousandths */
export function durationText(seconds: number): string {
  let left = Number(seconds.toFixed(3));
  const parts = Object.entries(units).map(([name, unit]) => {
    const count = unit === 1 ? Number(left.toFixed(3)) : Math.floor(left / unit);
    left -= count * unit;
    return count > 0 ? `${count}${name}` : '';
  });
  return parts.join('') || '0s';
}

function isWithin(rule: NumberShape, value: unknown): boolean {
  if (typeof value !== 'number' || (rule.whole && !Number.isSafeInteger(value))) return false;
  return (rule.above ? value > rule.least : value >= rule.least) && value <= rule.most;
}

/** `a whole number from 1 to 16384`, `a number above 0, at most 1` */
function described({ whole: isWhole, least, most, above: beyond }: NumberShape): string {
  const kind = isWhole ? 'a whole number' : 'a number';
  const bounded = most < longest;
  if (beyond) return `${kind} above ${least}${bounded ? `, at most ${most}` : ''}`;
  return `${kind} from ${least}${most < largestFloat ? ` to ${most}` : ''}`;
}

/** A value for a message, at most 60 characters of it. */
export function shown(value: unknown): string {
  const json = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value);
  return json.length > 60 ? `${json.slice(0, 60)}...` : json;
}
