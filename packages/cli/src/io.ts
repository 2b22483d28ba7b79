import type { Wording } from '@moco-ts/core';
import { noted } from './format.ts';
import { inFlags } from './words.ts';

/** Where the program writes to; tests put their own in its place. */
export interface Streams {
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
export const guarded = (streams: Streams): Streams => ({
  ...streams,
  out: (text) => streams.out(terminalText(text, streams.color)),
  err: (text) => streams.err(terminalText(text, streams.color)),
});

/** How a command speaks: flags that every command has. */
export interface Manner {
  /** For programs: JSON alone, on both streams. */
  readonly json: boolean;
  /** Nothing but the result, warnings and errors. */
  readonly quiet: boolean;
}

export const aloud: Manner = { json: false, quiet: false };

/** What a command has to say, which its {@link Manner} decides how to tell. A command writes nowhere else. */
export interface Io extends Pick<Streams, 'live' | 'columns' | 'color' | 'eraseLine'> {
  readonly manner: Manner;
  /** On the way to the result, on stdout. For people alone, as `aside`. */
  say(text: string): void;
  /** The same on stderr: progress of commands whose output is for other programs too. */
  aside(text: string): void;
  /** A part of the result, for people, as soon as it is there. */
  show(text: string): void;
  /**
   * What the command is for, once, at its end.
   * @param value for programs: one line of JSON, the last on stdout
   * @param text the same for people, less what was shown
   */
  result(value: object, text?: string): void;
  /** A step of a long run: a line of JSON with `event` before that of the result. */
  event(event: string, facts: object): void;
  /** A line on stderr; of an error also what programs are told of it. */
  tell(level: 'note' | 'warning' | 'error', text: Wording, about?: object): void;
  /** Commands that can follow, to be pasted. On a terminal alone: who reads a pipe waits for the result. */
  next(...commands: readonly string[]): void;
}

const beginning = { note: 'moco: note: ', warning: 'moco: warning: ', error: 'moco: ' };

/** Commands that can follow, as lines to read. Runs, whose output is a log, tell them there too. */
export const asNext = (...commands: readonly string[]) =>
  commands.map((command, i) => `${i === 0 ? 'Next: ' : '      '}${command}\n`).join('');

export function createIo(streams: Streams, manner: Manner = aloud): Io {
  const { json, quiet } = manner;
  const { out, err, live, ...terminal } = streams;
  const only = (wanted: boolean, write: (text: string) => void) => (text: string) => {
    if (wanted && text !== '') write(text);
  };
  const forPeople = !json && !quiet;
  const say = only(forPeople, out);
  const asLine = (value: object) => `${JSON.stringify(value)}\n`;
  return {
    ...terminal,
    manner,
    live: live && forPeople,
    say,
    aside: only(forPeople, err),
    show: only(!json, out),
    result: (value, text = '') => only(true, out)(json ? asLine(value) : text),
    event: (event, facts) => only(json && !quiet, out)(asLine({ event, ...facts })),
    tell: (level, text, about = {}) => {
      const message = inFlags(text);
      if (quiet && level === 'note') return;
      err(json ? asLine({ level, message, ...about }) : `${beginning[level]}${message}\n`);
    },
    next: (...commands) => {
      if (terminal.columns !== undefined) say(asNext(...commands));
    },
  };
}

/** Warnings, on stderr, so that they are no part of what a command gives out. */
export function warnTo(io: Pick<Io, 'tell'>): (text: Wording) => void {
  return (text) => io.tell('warning', text);
}

/** What a user should know of a file, as its reader says it. */
export function remarkTo(io: Pick<Io, 'tell'>): (text: Wording) => void {
  return (text) => io.tell('note', text);
}

/** What a user should know of the data, each line once, however often they are opened. */
export function noteTo(io: Pick<Io, 'tell'>): (text: Wording) => void {
  const said = new Set<string>();
  const warn = warnTo(io);
  return (text) => {
    const line = inFlags(text);
    if (!said.has(line)) warn(line);
    said.add(line);
  };
}

/** The process's own. */
export function processStreams(): Streams {
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
      const columns = columnsOf(process.stderr);
      const isSentence = columns !== undefined && /^moco: .*\n$/.test(text);
      process.stderr.write(isSentence ? `${noted(text.trimEnd(), columns)}\n` : text);
    },
    live,
    columns: columnsOf(process.stdout),
    color: live && !process.env.NO_COLOR,
    eraseLine: () => void process.stderr.write('\r\x1b[K'),
  };
}

/** Of a terminal; Open MPI's has 0, which nobody can write in. */
const columnsOf = ({ isTTY, columns }: NodeJS.WriteStream): number | undefined =>
  isTTY ? columns || 80 : undefined;

/** Who reads may go away, as in `moco pretrain ... | head`, or the terminal be closed: the run goes on, unheard. */
function ignoreClosedPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}
