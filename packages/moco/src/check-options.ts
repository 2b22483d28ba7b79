/** Options at run time: the command's own parsers judge the values, so that the two can't differ. */
import { addPretrainOptions } from '@moco-ts/cli/run';
import { UserError } from '@moco-ts/core';
import { Command, type Option } from 'commander';

/** Options that no flag of the command has, or that may be objects here. */
const others = new Set(['data', 'testData', 'signal', 'onEvaluation', 'onWarning', 'mean', 'std']);

const flags = new Map(
  addPretrainOptions(new Command()).options.map((option) => [
    option.attributeName() === 'weightDecay' ? 'wd' : option.attributeName(),
    option,
  ]),
);

/** The names of all options. */
export const optionNames: readonly string[] = [...flags.keys(), ...others];

/** @throws UserError on the first option that is unknown, of another type or out of its range */
export function checkOptions(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const flag = flags.get(name);
    if (value === undefined || others.has(name)) continue;
    if (flag === undefined) throw new UserError(unknown(name));
    if ((name === 'arch' || name === 'backend') && typeof value === 'object') continue;
    const wrong = refusal(flag, value);
    if (wrong !== undefined) throw new UserError(`${name}: ${shown(value)} is not right. ${wrong}`);
  }
  const { mean, std, signal } = options as { mean?: unknown; std?: unknown; signal?: unknown };
  for (const [name, value] of Object.entries({ mean, std }))
    if (value !== undefined && !isTriple(value))
      throw new UserError(`${name}: ${shown(value)} is not right. Give three numbers, for R, G and B.`);
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new UserError('signal: give the signal of an AbortController.');
}

/** What is wrong with a value; undefined if nothing is. */
function refusal(flag: Option, value: unknown): string | undefined {
  if (flag.isBoolean() || flag.negate) return typeof value === 'boolean' ? undefined : 'Give true or false.';
  const values: unknown[] = Array.isArray(value) && takesMany(flag) ? value : [value];
  const parse = flag.parseArg as ((text: string, before?: unknown) => unknown) | undefined;
  for (const each of values) {
    if (parse === undefined) {
      if (typeof each !== 'string' || each === '') return 'Give a name.';
      continue;
    }
    try {
      const parsed = parse(String(each), undefined);
      const [found] = Array.isArray(parsed) ? (parsed as unknown[]) : [parsed];
      if (found !== each) return typeof found === 'number' ? 'Give a number.' : 'Give a text.';
    } catch (error) {
      return (error as Error).message;
    }
  }
  return takesMany(flag) && !Array.isArray(value) ? 'Give an array.' : undefined;
}

const takesMany = (flag: Option) => ['schedule', 'designers'].includes(flag.attributeName());

const isTriple = (value: unknown) =>
  Array.isArray(value) &&
  value.length === 3 &&
  value.every((x) => typeof x === 'number' && Number.isFinite(x));

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

/** A message of the command in the words of the library: `--batch-size 8` is `batchSize 8`; whole commands stay. */
export function inOptions(message: string): string {
  return message
    .replaceAll(/(?<!moco [a-z]+ [^;,]*)--(?:no-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)/g, (_, flag: string) =>
      flag.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()),
    )
    .replace(/\bneeds DATA\b/, 'needs data');
}

/** Puts what the user can mend into the words of the library. */
export function translate(error: unknown): unknown {
  if (error instanceof UserError) {
    const { message } = error;
    error.message = inOptions(message);
    if (error.stack) error.stack = error.stack.replace(message, error.message);
  }
  return error;
}
