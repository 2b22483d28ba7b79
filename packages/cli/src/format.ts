/** Numbers for people. */

/** `4:05`, `1:02:03`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-:--';
  const rounded = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(rounded / 3600), Math.floor((rounded % 3600) / 60), rounded % 60];
  const tail = `${h > 0 ? String(m).padStart(2, '0') : m}:${String(s).padStart(2, '0')}`;
  return h > 0 ? `${h}:${tail}` : tail;
}

/** `3.5 days`, `7 hours`, `12 minutes`: as exact as a guess is. @param seconds at least some */
export function about(seconds: number): string {
  const [size, unit] =
    seconds >= 48 * 3600 ? [86_400, 'day'] : seconds >= 90 * 60 ? [3600, 'hour'] : [60, 'minute'];
  const value = seconds / size;
  const text = value < 10 && unit !== 'minute' ? Number(value.toFixed(1)) : Math.max(1, Math.round(value));
  return `${text} ${unit}${text === 1 ? '' : 's'}`;
}

/** Three significant digits: `0.03`, `1.52e-5`. */
export function rate(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-3
    ? value.toExponential(2)
    : String(Number(value.toPrecision(3)));
}

/** `25.1 %`, right-aligned. */
export const percent = (value: number) => `${value.toFixed(1).padStart(5)} %`;

/** A bar of `width` cells. @param share in [0, 1] */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** What no line is broken in: a command with its first flag, a path in quotes, a word. */
const words = /moco [a-z]+ --?\S+ (?:'[^']*'|\S)+|'[^']*'\S*|\S+/g;

/**
 * A text in lines of at most `width`, the second and later ones indented. Words longer than a line, quoted paths and the
 * commands of hints stay whole, so that they can be read and pasted.
 */
export function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(words) ?? []) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}

/** A note as it is shown: in lines that fit a terminal, or as it is where there is none. */
export const noted = (text: string, columns: number | undefined) =>
  columns === undefined || text.length <= columns ? text : wrap(text, columns, '  ');
