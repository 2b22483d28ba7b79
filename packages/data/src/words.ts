/** Lists in messages. */
import { printable } from '@moco-ts/core';

/** The first names of a list, and how many more there are. */
export function some(names: readonly string[], most = 5): string {
  const shown = names
    .slice(0, most)
    .map((name) => printable(name))
    .join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
