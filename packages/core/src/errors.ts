import { inWords, Message, type Wording, type Words } from './message.ts';

const meanings = {
  'input-invalid': 'something given or read is not what it should be, and nothing below tells more',
  'setting-unknown': 'there is no setting of that name',
  'setting-missing': 'a setting that is needed has no value',
  'setting-invalid':
    'a value is not right for its setting, by itself or with the data and the other settings',
  'setting-conflict': 'settings exclude each other, or the method or the checkpoint has another',
  'file-missing': 'there is no such file or folder',
  'file-unreadable': 'the system refused to read a file or a folder',
  'file-unwritable': 'the system refused to write a file or a folder',
  'file-taken': 'something is there already that would be lost',
  'file-locked': 'somebody else is writing there',
  'data-invalid': 'a data set, a file of vectors or an image is missing, damaged or of another kind',
  'data-split-missing': 'a data set has no such split',
  'checkpoint-invalid': 'a checkpoint or exchange file is damaged, or not read here',
  'checkpoint-mismatch': 'a checkpoint is of another model than it is used for',
  'backend-failed': 'a backend refused a graph, a feed or a run',
  'backend-unknown': 'there is no backend or device of that name',
  'backend-unavailable': 'a package, a driver or a device that a backend needs is not there',
  'backend-unsupported': 'a backend has no such op, or does not train',
  'backend-memory': 'a backend has not enough memory',
  'device-lost': 'the device was lost, and what it held with it',
  'replica-lost': 'one of several processes that train together was lost, or what joins them',
  'package-missing': 'a package that is installed only where it is wanted is not there, or does not load',
  'plugin-invalid': 'a plugin gives nothing, or does not load',
  'machine-failed': 'the machine is short of something, or its disk or network failed',
  diverged: 'training, or what it left, gives values that are not finite',
  'shape-invalid': 'an op of a graph can not take such a shape, dtype or attribute',
} as const;

/** A key of {@link errorCodes}. */
export type ErrorCode = keyof typeof meanings;

/**
 * What can go wrong, by codes that stay from version to version, as messages need not: switch on `error.code`, and for a
 * code of a setting on `error.setting`.
 */
export const errorCodes: Readonly<Record<ErrorCode, string>> = meanings;

/** What an error tells programs. An error itself is one, and so passes its own on to another. */
export interface About {
  /** Default that of the class. */
  readonly code?: ErrorCode;
  /** The setting to change. Default the first that the message names. */
  readonly setting?: string | undefined;
  /** The value that it has. Default what the message says. */
  readonly value?: unknown;
  readonly cause?: unknown;
}

/**
 * An error that the user can fix: its message names the input, what was expected and what to do, in one line.
 * Command lines print the message alone; anything else is a defect and keeps its stack.
 */
export class UserError extends Error {
  /** The code of errors of this class that name none. */
  static readonly code: ErrorCode = 'input-invalid';
  /** `UserError` */
  override name = 'UserError';
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** The setting to change, by its name in the options of the library: `mocoK`. */
  declare readonly setting?: string;
  /** The value that it has. */
  declare readonly value?: unknown;
  readonly #text: Wording;

  constructor(text: Wording, about: About = {}) {
    super(String(text), about.cause === undefined ? {} : { cause: about.cause });
    const [first] = text instanceof Message ? text.settings : [];
    const { code = new.target.code, setting = first?.setting } = about;
    const named = setting === first?.setting ? first?.value : undefined;
    const value = about.value === undefined ? named : about.value;
    this.#text = text;
    this.code = code;
    if (setting !== undefined) this.setting = setting;
    if (value !== undefined) this.value = value;
  }

  /** The message, with its settings still to be named. */
  get text(): Wording {
    return this.#text;
  }

  /** The message in the words of a front end. */
  in(words: Words): string {
    return inWords(this.#text, words);
  }
}

/** A setting that is unknown, missing, out of its range or at odds with others: `setting` names it. */
export class SettingError extends UserError {
  static override readonly code: ErrorCode = 'setting-invalid';
  /** `SettingError` */
  override name = 'SettingError';
}

/** A shape, dtype or attribute that an op can't take. Thrown while a graph is traced. */
export class ShapeError extends Error {
  override name = 'ShapeError';
  readonly code = 'shape-invalid' satisfies ErrorCode;
}

/** A backend was asked for what it can't do; the message names the op and node, or the missing package. */
export class BackendError extends UserError {
  static override readonly code: ErrorCode = 'backend-failed';
  /** `BackendError` */
  override name = 'BackendError';
}

/** A checkpoint or exchange file that can't be read, or doesn't fit the model. */
export class CheckpointError extends UserError {
  static override readonly code: ErrorCode = 'checkpoint-invalid';
  /** `CheckpointError` */
  override name = 'CheckpointError';
}

/** Training, or what it left, gives values that are not finite. */
export class DivergedError extends UserError {
  static override readonly code: ErrorCode = 'diverged';
  /** `DivergedError` */
  override name = 'DivergedError';
}

/** A data set that can't be opened or read. */
export class DataError extends UserError {
  static override readonly code: ErrorCode = 'data-invalid';
  /** `DataError` */
  override name = 'DataError';
}

/** What steers a terminal or turns the direction of writing, and halves of characters. */
const unprintable = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\p{Cs}]/gu;

/** A text of a stranger's making as messages may show it: on one line, short, without what steers a terminal (`\x1b`). */
export function printable(text: string, limit = 100): string {
  if (text.length > limit)
    return `${printable(text.slice(0, limit).replace(/[\ud800-\udbff]$/, ''), limit)}...`;
  return text.replaceAll('\n', '; ').replace(unprintable, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`;
  });
}
