/** Texts for people, in messages. */

/** Characters that a shell takes literally in any position. */
const plain = /^[\p{L}\p{N}_./:@%+,=][\p{L}\p{N}_./:@%+,=-]*$/u;

/**
 * A path, or another argument, as it can be pasted into a POSIX shell: as it is where that is safe, else in quotes. What
 * steers a terminal is written by its number, $'\x1b' (POSIX 2024, before that bash, zsh and ksh).
 */
export function quoted(argument: string): string {
  if (plain.test(argument)) return argument;
  // A path that begins with a dash would be taken for a flag.
  // Half of a surrogate pair has no bytes.
  const valid = argument.replaceAll(/\p{Cs}/gu, '?');
  const safe = valid.startsWith('-') ? `./${valid}` : valid;
  if (plain.test(safe)) return safe;
  if (!/[\p{C}\p{Zl}\p{Zp}]/u.test(safe)) return `'${safe.replaceAll("'", `'\\''`)}'`;
  const octal = (character: string) =>
    encodeURIComponent(character).replaceAll(/%(..)|./g, (same, byte?: string) =>
      byte === undefined ? same : `\\${Number.parseInt(byte, 16).toString(8).padStart(3, '0')}`,
    );
  return `$'${safe.replaceAll(/[\\']/g, '\\$&').replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, octal)}'`;
}

/** `1 epoch`, `2 epochs`. @param many the plural, where it is not made by an s */
export function counted(count: number, noun: string, many = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : many}`;
}
