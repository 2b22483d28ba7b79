import { noted } from './run/format.ts';

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
  };
}

/** Who reads may go away, as in `moco pretrain ... | head`: the run goes on, unheard. */
function ignoreClosedPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
