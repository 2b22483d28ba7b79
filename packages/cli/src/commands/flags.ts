/** Parsers of option values; each message ends a line that names the flag. */
import {
  cosine as cosineRule,
  currentValue,
  faultOf,
  type ListShape,
  type Rule,
  type SettingName,
  settings,
  whole,
} from '@moco-ts/run';
import { InvalidArgumentError } from 'commander';

/** A number as a rule allows it. */
export const within = (rule: Rule) => (text: string) => {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  const fault = faultOf(rule, value);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return value;
};

/** A number that the table of settings allows by that name. */
export const setting = (name: SettingName) => within(settings[name].rule);

/** A whole number of at least `least` and at most `most`. */
export const integer = (least: number, most: number) => within(whole(least, most));

/** How many neighbours are searched for. */
export const neighbours = integer(1, 1_000_000);

/** A number in [-1, 1]. */
export const cosine = within(cosineRule);

/** Collects `120 160`, each as a rule allows it. */
export const each = (rule: Rule) => {
  const parse = within(rule);
  return (text: string, before: unknown): number[] => [
    ...((before as number[] | undefined) ?? []),
    parse(text),
  ];
};

/** `0.5,0.4,0.3`, each as a rule allows it; where all of them are asked for, one number stands for all. */
export const numbers =
  ({ of, least, most, ...rule }: ListShape) =>
  (text: string): number[] => {
    const given = text.split(',').map(within(of));
    const value = given.length === 1 && least === most ? Array<number>(least).fill(given[0]!) : given;
    const fault = faultOf({ of, least, most, ...rule }, value);
    if (fault !== undefined) throw new InvalidArgumentError(fault);
    return value;
  };

/** Mean or deviation of the channels. */
export const pixels = (name: 'mean' | 'std') => numbers(settings[name].rule as ListShape);

/** Epochs. */
export const milestones = each(settings.startEpoch.rule);

/** `google,twitter` */
export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.some((name) => name === '')) throw new InvalidArgumentError('Give names, separated by commas.');
  return list;
}

/** A name or a duration as a rule allows it. */
export const named = (rule: Rule) => (text: string) => {
  const fault = faultOf(rule, text);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return currentValue(rule, text);
};

/** One of some names. */
export function oneOf<const T extends string>(known: readonly T[]) {
  return (text: string): T => {
    if ((known as readonly string[]).includes(text)) return text as T;
    throw new InvalidArgumentError(`Choose from ${known.join(', ')}.`);
  };
}
