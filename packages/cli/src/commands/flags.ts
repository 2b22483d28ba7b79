/** Parsers of option values; each message ends a line that names the flag. */
import { cosine as cosineRule, faultOf, type Rule, type RuleName, rules, whole } from '@moco-ts/run';
import { InvalidArgumentError } from 'commander';

/** A number as a rule allows it. */
const within = (rule: Rule) => (text: string) => {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  const fault = faultOf(rule, value);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return value;
};

/** A number that the table of settings allows by that name. */
export const setting = (name: RuleName) => within(rules[name]);

/** A whole number of at least `least` and at most `most`. */
export const integer = (least: number, most: number) => within(whole(least, most));

/** A number in [-1, 1]. */
export const cosine = within(cosineRule);

const milestone = setting('startEpoch');

/** Collects `120 160`, each a whole number. */
export function milestones(text: string, before: number[] | undefined): number[] {
  return [...(before ?? []), milestone(text)];
}

/** `google,twitter` */
export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.some((name) => name === '')) throw new InvalidArgumentError('Give names, separated by commas.');
  return list;
}

/** One of some names. */
export function oneOf<const T extends string>(known: readonly T[]) {
  return (text: string): T => {
    if ((known as readonly string[]).includes(text)) return text as T;
    throw new InvalidArgumentError(`Choose from ${known.join(', ')}.`);
  };
}
