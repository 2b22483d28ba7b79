/** The methods that are known by name: those that come along, and those of plugins. */
import { type Message, printable, SettingError, say, settingRef, UserError } from '@moco-ts/core';
import type { MethodPlugin } from './method.ts';
import { methodNames } from './method-names.ts';
import { builtInMethods } from './methods/index.ts';
import { longFlag, type Setting } from './setting.ts';
import { type CommonName, commonSettings } from './settings.ts';

const registry = new Map<string, MethodPlugin>();
const builtIn: ReadonlySet<string> = new Set(builtInMethods.map(({ name }) => name));

function add(method: MethodPlugin): void {
  if (!methodNames.includes(method.name)) methodNames.push(method.name);
  registry.set(method.name, method);
}
builtInMethods.forEach(add);

const invalid = (text: string) => new UserError(text, { code: 'plugin-invalid' });

/**
 * Makes a method known by its name; a later one of the same name replaces it, unless it came along.
 * @throws UserError for a name, a setting or a flag that there is already
 */
export function registerMethod(method: MethodPlugin): void {
  const { name, settings = {} } = method;
  if (!/^[a-z0-9][a-z0-9._-]*$/i.test(name))
    throw invalid(`a method can't be called "${printable(name)}": letters, digits, dots and dashes`);
  if (builtIn.has(name)) throw invalid(`there is a method ${name} already: give the plugin's another name`);
  const others = [...registry.values()].filter((other) => other.name !== name);
  for (const table of [commonSettings, ...others.map((other) => other.settings ?? {})])
    for (const [key, entry] of Object.entries<Setting>(table))
      for (const [ownKey, own] of Object.entries<Setting>(settings)) {
        // Methods of one plugin may share a setting.
        if (own === entry) continue;
        const flag = longFlag(own);
        const twice =
          ownKey === key ? key : flag !== undefined && flag === longFlag(entry) ? flag : undefined;
        if (twice !== undefined)
          throw invalid(`the method ${name} has a setting ${twice}, which there is already: rename it`);
      }
  add(method);
}

/** The methods that plugins brought. */
export const pluginMethods = (): readonly MethodPlugin[] =>
  [...registry.values()].filter(({ name }) => !builtIn.has(name));

export const isMethod = (name: string): boolean => registry.has(name);

/** The line on a name that only a plugin knows. @param kind `arch` or `method` */
export const pluginNeeded = (kind: string, name: string, plugin: readonly string[]) =>
  new SettingError(
    say`the run's ${kind} "${name}" came with a plugin, which only you can name, if you trust it: ${settingRef('plugin', 'PACKAGE_OR_FILE')} (recorded: ${printable(JSON.stringify(plugin))})`,
    { setting: kind, value: name },
  );

/**
 * The method of a run.
 * @throws UserError for a name that is not known, with the plugins that the run had
 */
export function methodOf({
  method: name,
  plugin,
}: {
  readonly method: string;
  readonly plugin?: readonly string[];
}): MethodPlugin {
  const method = registry.get(name);
  if (method) return method;
  if (plugin) throw pluginNeeded('method', name, plugin);
  throw new SettingError(`there is no method "${printable(name)}"; known are: ${methodNames.join(', ')}`, {
    setting: 'method',
    value: name,
  });
}

/** Whether a method takes a setting, where not every one does. */
export const takes = ({ settings, uses }: MethodPlugin, key: string): boolean =>
  Object.hasOwn(settings ?? {}, key) || (uses?.includes(key as CommonName) ?? false);

/** Why a method does not take a value of a setting; undefined if it does. */
export function refusalOf(
  method: MethodPlugin,
  key: string,
  { optIn, default: usual }: Setting,
  value: unknown,
): Message | undefined {
  if (value === undefined || takes(method, key)) return undefined;
  const condition = optIn ?? !Object.hasOwn(commonSettings, key);
  if (condition === false) return undefined;
  const takers = [...registry.values()].filter((other) => takes(other, key)).map(({ name }) => name);
  if (typeof condition === 'object') {
    const applies = 'value' in condition ? value === condition.value : value !== usual;
    return applies ? condition.refusal(method.name, takers) : undefined;
  }
  return say`${settingRef(key)} means nothing to ${method.name}; it belongs to ${takers.join(', ')}`;
}
