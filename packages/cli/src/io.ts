/** Where a command writes to; tests put their own in its place. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Whether lines may be drawn over: a terminal with a height, and no CI. */
  readonly live: boolean;
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
    err: (text) => void process.stderr.write(text),
    live,
    color: live && !process.env.NO_COLOR,
  };
}

/** Who reads may go away, as in `moco pretrain ... | head`: the run goes on, unheard. */
function ignoreClosedPipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
