/** The one table of settings: those that methods share, and each method's own. */
import { type Message, SettingError, say, settingRef } from '@moco-ts/core';
import type { MethodPlugin } from './method.ts';
import { distillSettings } from './methods/distill.ts';
import { instDiscSettings } from './methods/instdisc.ts';
import { mocoSettings } from './methods/moco.ts';
import { methodOf, pluginMethods, refusalOf } from './registry.ts';
import { currentValue, faultOf, shown } from './rule.ts';
import { type ConfigOf, defaultsIn, type Setting } from './setting.ts';
import { methodSettings, runSettings } from './settings.ts';

/** The settings that come along, in the order of `--help`. */
export const settings = {
  ...methodSettings,
  ...distillSettings,
  ...instDiscSettings,
  ...mocoSettings,
  ...runSettings,
};

type Table = typeof settings;
/** The name of a setting, as configurations have it. */
export type SettingName = keyof Table;

/** The settings of a run, defaults included; plain JSON. Those of a plugin's method are added. */
export interface RunConfig extends ConfigOf<Table> {}

/** What the command line names; the rest comes from defaults or from a checkpoint. */
export type RunFlags = { -readonly [Name in keyof RunConfig]?: RunConfig[Name] };

/** The entries of the table, in its order; those of plugins' methods last. */
export function settingEntries(): [SettingName, Setting][] {
  const own = pluginMethods().flatMap((method) => Object.entries<Setting>(method.settings ?? {}));
  const grouped = own.map(([name, setting]) => [name, { group: 'Method', ...setting }]);
  return Object.entries<Setting>({ ...settings, ...Object.fromEntries(grouped) }) as [SettingName, Setting][];
}

export function settingNamed(name: string): Setting | undefined {
  return settingEntries().find(([key]) => key === name)?.[1];
}

/** The defaults that depend on nothing. */
export const defaults = defaultsIn(settings);

/** The same with those of a plugin's method. */
export const defaultsOf = (method: MethodPlugin | undefined): typeof defaults => ({
  ...defaults,
  ...defaultsIn(method?.settings ?? {}),
});

/**
 * The first setting that is out of its range, with what to give instead: `threads is 100000. Give a whole number from 1 to
 * 1024.`; undefined if there is none. Names that are not in the table are ignored, as are those without a value.
 */
export function settingsFault(given: object): SettingError | undefined {
  const table = new Map<string, Setting>(settingEntries());
  for (const [key, value] of Object.entries(given)) {
    const setting = table.get(key);
    if (value === undefined || setting === undefined) continue;
    const fault = faultOf(setting.rule, value);
    if (fault !== undefined)
      return new SettingError(say`${settingRef(key)} is ${shown(value)}. ${fault}`, { value });
  }
  return undefined;
}

/** Flags without those that the method has no use for: for recipes that are taken from one method to another. */
export function meaningful(name: string, flags: RunFlags): RunFlags {
  const method = methodOf({ method: name });
  const kept: RunFlags = { ...flags };
  for (const [key, setting] of settingEntries())
    if (refusalOf(method, key, setting, kept[key]) !== undefined) delete kept[key];
  return kept;
}

/** A line on the first setting that the method has no use for. */
export function meaningless(method: MethodPlugin, flags: RunFlags): Message | undefined {
  // It would mislead to take them in silence. What is switched off anyway misleads nobody.
  for (const [key, setting] of settingEntries()) {
    const refused = flags[key] === false ? undefined : refusalOf(method, key, setting, flags[key]);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** Settings with the names that this version gives their values. */
export function currentSettings<Given extends object>(given: Given): Given {
  const table = new Map<string, Setting>(settingEntries());
  const entries = Object.entries(given).map(([key, value]) => {
    const setting = table.get(key);
    return [key, setting ? currentValue(setting.rule, value) : value];
  });
  return Object.fromEntries(entries);
}
