/** The flags of `moco pretrain`, made of the table of settings, and the few that are no setting of a run. */
import { UserError } from '@moco-ts/core';
import {
  type Group,
  presetNames,
  type Rule,
  type Setting,
  type SettingName,
  settingEntries,
} from '@moco-ts/run';
import { type Command, Option } from 'commander';
import { each, named, names, numbers, oneOf, within } from './flags.ts';
import { officialOptions } from './official-flags.ts';

const recipeGroups: readonly Group[] = ['Method', 'Encoder and views', 'Training', 'Data', 'Machine'];

/** Flags that are no settings, by the setting after which `--help` lists them. */
const others: Partial<Record<SettingName, () => Option[]>> = {
  method: () => [
    new Option('--preset <name>', 'a published recipe; moco presets lists them').argParser(
      oneOf(presetNames),
    ),
  ],
  printFreq: () => [logOption()],
  maxSteps: () => [
    new Option('--out <folder>', 'run folder (runs/DATA-METHOD-ARCH)'),
    new Option('--resume <path>', 'checkpoint, run folder, or auto: go on with --out if it holds a run'),
  ],
};

/** Where the log of a run or a classifier goes. */
export const logOption = () =>
  new Option(
    '--log <names>',
    "logs beside log.jsonl: tensorboard, mlflow[:URL], a plugin's (tensorboard)",
  ).argParser(names);

/** Method, encoder, training, data and machine: what a recipe is made of. */
export function addRecipeOptions(command: Command): Command {
  return addSettings(command, recipeGroups);
}

export function addPretrainOptions(command: Command): Command {
  return addSettings(command, [...recipeGroups, 'Run']);
}

/** The official flags for many devices, of the one command that many share. */
export function addOfficialOptions(command: Command): void {
  for (const option of officialOptions()) addOption(command, option);
}

function addSettings(command: Command, groups: readonly Group[]): Command {
  for (const group of groups)
    for (const [name, setting] of settingEntries()) {
      if (setting.group !== group) continue;
      for (const option of [...optionsOf(name, setting), ...(others[name]?.() ?? [])])
        addOption(command, option.helpGroup(`${group}:`));
    }
  return command;
}

/** @throws UserError for a flag that the command has already: a plugin's method named it */
function addOption(command: Command, option: Option): void {
  const taken = [...command.options.map(({ long }) => long), '--plugin', '--help'];
  if (taken.includes(option.long))
    throw new UserError(
      `the flag ${option.long} of a plugin's method is one of moco ${command.name()} already`,
      {
        code: 'plugin-invalid',
      },
    );
  command.addOption(option);
}

/** The flag of a setting, and `--no-...` where it has one. What it parses to has the setting's name. */
function optionsOf(name: SettingName, { rule, flags, doc = '', not }: Setting): Option[] {
  if (flags === undefined) return [];
  const made = [new Option(flags, typeof doc === 'function' ? doc() : doc)];
  if (not !== undefined) made.push(new Option(flags.replace('--', '--no-'), not));
  for (const option of made) option.attributeName = () => name;
  const parse = parserOf(rule, flags);
  if (parse) made[0]!.argParser(parse);
  return made;
}

function parserOf(rule: Rule, flags: string): ((text: string, before: unknown) => unknown) | undefined {
  switch (rule.type) {
    case 'number':
      return within(rule);
    case 'name':
    case 'duration':
      return named(rule);
    case 'text':
      return rule.like && named(rule);
    case 'list':
      if (rule.of.type !== 'number') return names;
      return flags.includes('...') ? each(rule.of) : numbers(rule);
    default:
      return undefined;
  }
}
