/** Checks options at run time against the table of settings, as the command's flags are checked. */
import { SettingError } from '@moco-ts/core';
import { faultOf, type LogSinkPlugin, presetNames, type Rule, type Setting, settings } from '@moco-ts/run';

/** Options that are no settings of a run. */
const others: Readonly<Record<string, Rule | undefined>> = {
  preset: { type: 'name', of: presetNames },
  out: { type: 'text' },
  resume: { type: 'text' },
  log: { type: 'list', of: { type: 'text' }, least: 0, most: 16 },
  testData: undefined,
  knnEvery: settings.measureEvery.rule,
  signal: undefined,
  onEvaluation: undefined,
  onWarning: undefined,
};

/** Settings that may be objects here. */
const objects: readonly string[] = ['data', 'method', 'arch', 'backend'];

/** The names of all options. What a run records by itself is none. */
export const optionNames: readonly string[] = [
  ...Object.entries<Setting>(settings).flatMap(([name, { recorded }]) => (recorded ? [] : [name])),
  ...Object.keys(others),
];

/** @throws SettingError on the first option that is unknown, of another type or out of its range */
export function checkOptions(options: object): void {
  const { method } = options as {
    readonly method?: { readonly settings?: Readonly<Record<string, Setting>> };
  };
  const own = typeof method === 'object' ? method?.settings : undefined;
  const table: Readonly<Record<string, Setting | undefined>> = { ...settings, ...own };
  for (const [name, value] of Object.entries(options)) {
    if (!optionNames.includes(name) && !Object.hasOwn(own ?? {}, name))
      throw new SettingError(unknown(name), { code: 'setting-unknown', setting: name, value });
    const rule = others[name] ?? table[name]?.rule;
    if (value === undefined || rule === undefined) continue;
    if (objects.includes(name) && typeof value === 'object') continue;
    const wrong = refusal(name, rule, name === 'log' ? namesOf(value) : value);
    if (wrong !== undefined)
      throw new SettingError(`${name}: ${shown(value)} is not right. ${wrong}`, { setting: name, value });
  }
  const { signal } = options as { signal?: unknown };
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new SettingError('signal: give the signal of an AbortController.', {
      setting: 'signal',
      value: signal,
    });
}

/** Sinks of a program's own among the names of others. */
const namesOf = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map((each) => (typeof (each as LogSinkPlugin | undefined)?.open === 'function' ? 'a sink' : each))
    : value;

/** What is wrong with a value; undefined if nothing is. */
function refusal(name: string, rule: Rule, value: unknown): string | undefined {
  const fault = faultOf(rule, value);
  if (fault === undefined) return undefined;
  if (name === 'mean' || name === 'std') return 'Give three numbers, for R, G and B.';
  if (rule.type === 'list' && !Array.isArray(value)) return 'Give an array.';
  if (rule.type === 'number' && typeof value !== 'number') return 'Give a number.';
  return rule.type === 'text' && value === '' ? 'Give a name.' : fault;
}

function shown(value: unknown): string {
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
}

function unknown(name: string): string {
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  const aliases: Readonly<Record<string, string>> = { weightdecay: 'wd', plugin: 'arch or backend' };
  const meant = optionNames.find((known) => plain(known) === plain(name)) ?? aliases[plain(name)];
  return `there is no option ${name}${meant === undefined ? '' : `; it is called ${meant}`}`;
}
