import type { Wording } from '@moco-ts/core';
import { noted } from './format.ts';
import { inFlags } from './words.ts';

/** Where a command writes to; tests put their own in its place. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Whether lines may be drawn over: a terminal with a height, and no CI. */
  readonly live: boolean;
  /** Columns of the terminal; undefined where there is none. */
  readonly columns?: number | undefined;
  /** Colours, as the terminal and NO_COLOR ask for. */
  readonly color: boolean;
  /** Erases the unfinished last line of `err`. */
  eraseLine?(): void;
}

/** Colours and weights as picocolors sets and resets them; nothing that hides text. */
const ownStyle = /^\x1b\[(?:0|[1-4]|2[2-4]|3[0-79]|4[0-79]|9[0-7])m/;

/** All characters that control a terminal or the writing direction, except line ends and tabs. */
const steering = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A text that is safe to print on a terminal: names, ids and messages in it may come from untrusted files. What controls the terminal is
 * shown as `\u001b`, which in JSON means the same character.
 * @param color whether the styles of this program stay
 */
export function terminalText(text: string, color: boolean): string {
  return text.replace(steering, (character, at: number) =>
    color && character === '\x1b' && ownStyle.test(text.slice(at, at + 6))
      ? character
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A name that may hold anything, as part of a line. */
export const oneLine = (name: string): string =>
  name.replace(/[\n\t]/g, (character) => JSON.stringify(character).slice(1, -1));

/** The same streams, on which nothing of a stranger's steers the terminal. */
export const guarded = (io: Io): Io => ({
  ...io,
  out: (text) => io.out(terminalText(text, io.color)),
  err: (text) => io.err(terminalText(text, io.color)),
});

/** Warnings, on stderr, so that they are no part of what a command gives out. */
export function warnTo(io: Pick<Io, 'err'>): (text: Wording) => void {
  return (text) => io.err(`moco: warning: ${inFlags(text)}\n`);
}

/** What a user should know of a file, as its reader says it. */
export function remarkTo(io: Pick<Io, 'err'>): (text: Wording) => void {
  return (text) => io.err(`moco: note: ${inFlags(text)}\n`);
}

/** What a user should know of the data, each line once, however often they are opened. */
export function noteTo(io: Pick<Io, 'err'>): (text: Wording) => void {
  const said = new Set<string>();
  const warn = warnTo(io);
  return (text) => {
    const line = inFlags(text);
    if (!said.has(line)) warn(line);
    said.add(line);
  };
}

/** The process's own streams. */
export function processIo(): Io {
  const live =
    process.stdout.isTTY === true &&
    process.stdout.rows > 0 &&
    process.env.TERM !== 'dumb' &&
    !process.env.CI;
  for (const stream of [process.stdout, process.stderr]) ignoreClosedPipe(stream);
  return {
    out: (text) => void process.stdout.write(text),
    // Warnings and errors are sentences, whole lines of them.
    err: (text) => {
      const { isTTY, columns } = process.stderr;
      const isSentence = isTTY && /^moco: .*\n$/.test(text);
      process.stderr.write(isSentence ? `${noted(text.trimEnd(), columns)}\n` : text);
    },
    live,
    columns: process.stdout.isTTY ? process.stdout.columns : undefined,
    color: live && !process.env.NO_COLOR,
    eraseLine: () => void process.stderr.write('\r\x1b[K'),
  };
}

/** Who reads may go away, as in `moco pretrain ... | head`, or the terminal be closed: the run goes on, unheard. */
function ignoreClosedPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}
