/** An entry of the table of settings, built in or from a plugin. */
import type { Message } from '@moco-ts/core';
import type { Rule } from './rule.ts';

/** Under which heading `--help` lists a setting. */
export type Group = 'Method' | 'Encoder and views' | 'Training' | 'Data' | 'Machine' | 'Run';

export interface SettingEntry {
  readonly group?: Group;
  /** The flags that set it, with a placeholder for its value: `-b, --batch-size <n>`. Without: no flag does. */
  readonly flags?: string;
  /** A line for `--help`, with the default in brackets. */
  readonly doc?: string | (() => string);
  /** What a form calls it. Default its name. */
  readonly label?: string;
  /** The line for `--no-...`, which a setting that is true or false may have. */
  readonly not?: string;
  /** Only methods that name it in `uses` take it, or these values of it. Default: all methods take all values. */
  readonly optIn?: true | OptInValue;
  /** The weights in a checkpoint depend on it: a resumed run can't change it. */
  readonly bound?: true;
  /** A run records it; nobody gives it. */
  readonly recorded?: true;
}

/** What not every method takes of a setting: a value, or all but the default. */
export interface OptInValue {
  readonly value?: unknown;
  /** The line for a method that does not take it. @param takers the methods that do */
  refusal(method: string, takers: readonly string[]): Message;
}

export interface Setting<Value = unknown> extends SettingEntry {
  readonly rule: Rule<Value>;
  /** Before the method's own. */
  readonly default?: Value;
}

/** `--batch-size`; of two long flags the first. Undefined where no flag sets it. */
export const longFlag = ({ flags }: SettingEntry): string | undefined =>
  /--[a-z0-9-]+/.exec(flags ?? '')?.[0];

/** The line of `--help` without the default, and what follows it. */
export const summaryOf = ({ doc = '' }: SettingEntry): string =>
  (typeof doc === 'function' ? doc() : doc).replace(/( \(|;).*/, '');

/** A setting that every configuration has. */
type Always<Value> = Setting<Value> & { readonly always: true };
type Defaulted<Value> = Always<Value> & { readonly default: Value };

export const defaulted = <Value>(
  rule: Rule<Value>,
  entry: SettingEntry & { readonly default: NoInfer<Value> },
): Defaulted<Value> => ({ ...entry, rule, always: true });
/** The user names it, or `resolveConfig` finds it by what else is known. */
export const always = <Value>(rule: Rule<Value>, entry: SettingEntry): Always<Value> => ({
  ...entry,
  rule,
  always: true,
});
export const optional = <Value>(rule: Rule<Value>, entry: SettingEntry): Setting<Value> => ({
  ...entry,
  rule,
});

/** Settings by the names that configurations have. */
export type SettingTable = Readonly<Record<string, Setting>>;

type ValueOf<Entry> = Entry extends { readonly rule: Rule<infer Value> } ? Value : never;
type AlwaysName<Table> = {
  [Name in keyof Table]: Table[Name] extends { readonly always: true } ? Name : never;
}[keyof Table];

/** The values of a table's settings, defaults included; plain JSON. */
export type ConfigOf<Table> = { readonly [Name in AlwaysName<Table>]: ValueOf<Table[Name]> } & {
  readonly [Name in Exclude<keyof Table, AlwaysName<Table>>]?: ValueOf<Table[Name]>;
};

type DefaultName<Table> = {
  [Name in keyof Table]: Table[Name] extends { readonly default: unknown } ? Name : never;
}[keyof Table];

/** The defaults of a table that depend on nothing. */
export function defaultsIn<Table extends SettingTable>(
  table: Table,
): { readonly [Name in DefaultName<Table>]: ValueOf<Table[Name]> } {
  const entries = Object.entries(table).filter(([, entry]) => entry.default !== undefined);
  return Object.fromEntries(entries.map(([name, entry]) => [name, entry.default])) as ReturnType<
    typeof defaultsIn<Table>
  >;
}
