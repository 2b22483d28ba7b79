/**
 * An error that the user can mend: its message names the input, what was expected and what to do, in one line.
 * Command lines print the message alone; anything else is a defect and keeps its stack.
 */
export class UserError extends Error {
  /** `UserError` */
  override name = 'UserError';
}

/** A shape, dtype or attribute that an op can't take. Thrown while a graph is traced. */
export class ShapeError extends Error {
  override name = 'ShapeError';
}

/** A backend was asked for what it can't do; the message names the op and node, or the missing package. */
export class BackendError extends UserError {
  /** `BackendError` */
  override name = 'BackendError';
}

/** A checkpoint or exchange file that can't be read, or doesn't fit the model. */
export class CheckpointError extends UserError {
  /** `CheckpointError` */
  override name = 'CheckpointError';
}

/** Training, or what it left, gives values that are not finite. */
export class DivergedError extends UserError {
  /** `DivergedError` */
  override name = 'DivergedError';
}

/** A data set that can't be opened or read. */
export class DataError extends UserError {
  /** `DataError` */
  override name = 'DataError';
}

/** A text of a stranger's making as messages may show it: on one line, short, without what steers a terminal. */
export function printable(text: string, limit = 100): string {
  const plain = text.slice(0, limit).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
  return text.length > limit ? `${plain}...` : plain;
}
