/** Parsers of option values; each message ends a line that names the flag. */
import { InvalidArgumentError } from 'commander';

/** A whole number of at least `least` and at most `most`. */
export const integer =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least || value > most)
      throw new InvalidArgumentError(
        `Give a whole number from ${least}${most < Number.MAX_SAFE_INTEGER ? ` to ${most}` : ''}.`,
      );
    return value;
  };

/** A number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('Give a number above 0.');
  return value;
}

/** A number of at least 0. */
export function natural(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('Give a number from 0.');
  return value;
}

/** A number in [0, 1]. */
export function share(text: string): number {
  const value = natural(text);
  if (value > 1) throw new InvalidArgumentError('Give a number from 0 to 1.');
  return value;
}

/** A number in (0, 1]. */
export function positiveShare(text: string): number {
  const value = positive(text);
  if (value > 1) throw new InvalidArgumentError('Give a number above 0, at most 1.');
  return value;
}

/** A seed: a whole number below 2^32. */
export function seed(text: string): number {
  const value = integer(0)(text);
  if (value >= 2 ** 32) throw new InvalidArgumentError('Give a whole number from 0 to 4294967295.');
  return value;
}

/** Collects `120 160`, each a whole number. */
export function milestones(text: string, before: number[] | undefined): number[] {
  return [...(before ?? []), integer(0)(text)];
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

/** A number in [-1, 1]. */
export function cosine(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= -1 && value <= 1))
    throw new InvalidArgumentError('Give a number from -1 to 1.');
  return value;
}
