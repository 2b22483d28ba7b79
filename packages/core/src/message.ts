/** Messages that name settings: the command, the library and a page each have names of their own for them. */

/** A setting as a message names it. */
export interface SettingRef {
  /** Its key in the settings of a run, such as `mocoK`, or an option of one command. */
  readonly setting: string;
  /** The value that it has, or should be given. */
  readonly value?: unknown;
  /** The command that has it, if it is not the current one: `moco import`. */
  readonly command?: string;
}

/** How a front end writes a setting: `--moco-k 64`, `mocoK 64`, `Keys in the queue (K): 64`. */
export type Words = (setting: SettingRef) => string;

/** A message for the user: settled, or for each front end in its own words. */
export type Wording = string | Message;

/** A message whose settings are named by who tells it. {@link say} makes one. */
export class Message {
  private readonly parts: readonly (string | SettingRef)[];

  constructor(parts: readonly (string | SettingRef)[]) {
    this.parts = parts;
  }

  /** The message in the words of one front end. */
  in(words: Words): string {
    return this.parts.map((part) => (typeof part === 'string' ? part : words(part))).join('');
  }

  /** In the words of programs: `mocoK 64`. */
  toString(): string {
    return this.in(asKey);
  }

  /** In JSON a message is its text. */
  toJSON(): string {
    return this.toString();
  }

  /** The settings that it names, in order. */
  get settings(): readonly SettingRef[] {
    return this.parts.filter((part) => typeof part !== 'string');
  }

  /** The parts, to include in another message. */
  static partsOf(value: unknown): readonly (string | SettingRef)[] {
    if (value instanceof Message) return value.parts;
    return [isRef(value) ? value : String(value)];
  }
}

const isRef = (value: unknown): value is SettingRef =>
  typeof value === 'object' && value !== null && 'setting' in value;

const asKey: Words = ({ setting, value }) => (value === undefined ? setting : `${setting} ${value}`);

/** A setting to be named in a message. */
export const settingRef = (setting: string, value?: unknown, command?: string): SettingRef => ({
  setting,
  ...(value !== undefined && { value }),
  ...(command !== undefined && { command }),
});

/**
 * A message of text, settings and other messages:
 *
 * ```ts
 * say`${settingRef('mocoK', 64)} is no multiple of the ${keys} keys of a step`
 * ```
 */
export function say(text: TemplateStringsArray, ...values: readonly unknown[]): Message {
  return new Message(
    text.flatMap((part, i) => (i < values.length ? [part, ...Message.partsOf(values[i])] : [part])),
  );
}

/** A text in the words of one front end. */
export const inWords = (text: Wording, words: Words): string =>
  typeof text === 'string' ? text : text.in(words);
