import { type ErrorCode, SettingError, UserError } from '@moco-ts/core';
import {
  alone,
  describeSystemError,
  joinWorld,
  launchedAs,
  loadPlugins,
  version,
  type World,
} from '@moco-ts/node';
import { Command, CommanderError, InvalidArgumentError, type Option } from 'commander';
import { ablateCommand } from './commands/ablate.ts';
import { backendsCommand } from './commands/backends.ts';
import { benchCommand } from './commands/bench.ts';
import { convertCommand } from './commands/convert.ts';
import { dedupeCommand } from './commands/dedupe.ts';
import { demoCommand } from './commands/demo.ts';
import { embedCommand } from './commands/embed.ts';
import { exportCommand } from './commands/export.ts';
import { finetuneCommand } from './commands/finetune.ts';
import { importCommand } from './commands/import.ts';
import { infoCommand } from './commands/info.ts';
import { knnCommand } from './commands/knn.ts';
import { linclsCommand } from './commands/lincls.ts';
import { mapCommand } from './commands/map.ts';
import { presetsCommand } from './commands/presets.ts';
import { pretrainCommand } from './commands/pretrain.ts';
import { replayCommand } from './commands/replay.ts';
import { reportCommand } from './commands/report.ts';
import { searchCommand } from './commands/search.ts';
import { shrinkCommand } from './commands/shrink.ts';
import { trainCommand } from './commands/train.ts';
import { aloud, createIo, guarded, type Manner, oneLine, processStreams, type Streams } from './io.ts';
import { ofWorld } from './of-world.ts';
import { inFlags } from './words.ts';

/** The commands in which a method, an encoder or a backend has a name. */
const withPlugins: ReadonlySet<string> = new Set([
  ...['train', 'pretrain', 'knn', 'lincls', 'finetune', 'export', 'ablate', 'report', 'backends', 'bench'],
  ...['embed', 'search', 'dedupe', 'map', 'import', 'convert', 'info'],
]);

/** What every command takes. They are settled before the line is parsed, so that a fault in it is told in that manner too. */
const manners: Readonly<Record<keyof Manner, string>> = {
  json: 'tell everything in JSON: the result as one object, in the last line',
  quiet: 'tell the result, warnings and errors alone',
};

/**
 * All commands with their flags.
 * @param finish called with the exit code of a command that sets its own
 * @param world the processes that share a run
 */
export function createProgram(
  streams: Streams,
  finish: (code: number) => void,
  manner: Manner = aloud,
  world: World = alone,
): Command {
  const io = createIo(streams, manner);
  const program = new Command('moco')
    .description('Momentum-contrast self-supervised learning: encoders of images, without labels.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: streams.out,
      writeErr: streams.err,
      // As all errors, by who runs the program.
      outputError: () => undefined,
      getOutHelpWidth: () => 80,
      getErrHelpWidth: () => 80,
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Examples:
  moco demo                          learn on emoji in minutes, from nothing
  moco train photos/                 the best encoder that 30 minutes buy
  moco train --resume runs/photos    go on after an interruption
  moco knn runs/photos photos/       how good are the features?
  moco export runs/photos -o photos.onnx
  moco help pretrain                 what a command takes`,
    );
  demoCommand(program, io, finish);
  trainCommand(program, io, finish);
  pretrainCommand(program, io, finish, world);
  knnCommand(program, io);
  linclsCommand(program, io, finish);
  finetuneCommand(program, io, finish);
  infoCommand(program, io);
  reportCommand(program, io);
  exportCommand(program, io);
  embedCommand(program, io, finish);
  searchCommand(program, io);
  dedupeCommand(program, io);
  mapCommand(program, io);
  importCommand(program, io);
  convertCommand(program, io);
  ablateCommand(program, io, finish);
  presetsCommand(program, io);
  shrinkCommand(program, io, finish);
  benchCommand(program, io);
  backendsCommand(program, io, finish);
  replayCommand(program, io);
  program.commands.forEach(addCommonOptions);
  return program;
}

/** What is added to a command by what it is, and to the commands of its own. */
function addCommonOptions(command: Command): void {
  command.commands.forEach(addCommonOptions);
  if (withPlugins.has(command.name()))
    command.option(
      '--plugin <name>',
      'load a package, file or folder with methods, encoders, backends or logs',
      (name, before: string[] = []) => [...before, name],
    );
  for (const [name, text] of Object.entries(manners)) command.option(`--${name}`, text);
  command.options.forEach(nameFaults);
}

/** Has an option's fault name its setting and value for programs, as all other faults do. */
function nameFaults(option: Option): void {
  const { parseArg: parse } = option;
  if (parse === undefined) return;
  option.parseArg = <T>(text: string, before: T) => {
    try {
      return parse(text, before);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const { flags } = option;
      throw new SettingError(`option '${flags}' argument '${text}' is invalid. ${error.message}`, {
        setting: option.attributeName(),
        value: text,
      });
    }
  };
}

/** A command line without the flags of its manner. */
export function mannerOf(args: readonly string[]): { manner: Manner; rest: string[] } {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const before = args.slice(0, end);
  const isManner = (arg: string) => Object.keys(manners).some((name) => arg === `--${name}`);
  return {
    manner: { json: before.includes('--json'), quiet: before.includes('--quiet') },
    rest: [...before.filter((arg) => !isManner(arg)), ...args.slice(end)],
  };
}

/** The plugins that a command line names: they are loaded before it is parsed, since a method brings flags of its own. */
export function namedPlugins([command, ...args]: readonly string[]): string[] {
  if (command === undefined || !withPlugins.has(command)) return [];
  const end = args.indexOf('--');
  return args
    .slice(0, end < 0 ? args.length : end)
    .flatMap((arg, at, all) =>
      arg === '--plugin'
        ? (all[at + 1] ?? [])
        : arg.startsWith('--plugin=')
          ? arg.slice('--plugin='.length)
          : [],
    );
}

/**
 * Runs the command line.
 * @param given the arguments after `moco`
 * @returns the exit code: 0, 1 for an error that the user can fix or a defect, 130 after an interrupt
 */
export async function main(given: readonly string[], streams: Streams = processStreams()): Promise<number> {
  const safe = guarded(streams);
  const { manner, rest } = mannerOf(given);
  const launch = launchedAs();
  if (launch) return asOneOfSeveral(rest, launch, safe, manner);
  try {
    return await run(rest, safe, manner);
  } catch (error) {
    return report(error, safe, manner);
  }
}

/** @throws what the command throws, and CommanderError for a line that is none and behind help */
async function run(
  rest: readonly string[],
  streams: Streams,
  manner: Manner,
  world: World = alone,
): Promise<number> {
  const isHelp = rest[0] === 'help';
  const args = isHelp ? rest.slice(1) : rest;
  let exitCode = 0;
  const plugins = namedPlugins(args);
  if (plugins.length > 0) await loadPlugins(plugins);
  const finish = (code: number) => {
    exitCode = code;
  };
  const program = createProgram(streams, finish, manner, world);
  if (args.length === 0) {
    program.outputHelp();
    return 0;
  }
  const isKnown = program.commands.some((command) => command.name() === args[0]);
  await program.parseAsync(isHelp && isKnown ? [...args, '--help'] : args, { from: 'user' });
  return exitCode;
}

/** The same where `mpirun` started several processes, of which rank 0 speaks. */
async function asOneOfSeveral(
  args: readonly string[],
  { rank }: { readonly rank: number },
  streams: Streams,
  manner: Manner,
): Promise<number> {
  const [command = '--help'] = args;
  const silent = { ...streams, out: () => undefined, err: () => undefined };
  const told = rank === 0 ? streams : silent;
  const isHelp = command === 'help' || /^-/.test(command) || args.some((arg) => /^(-h|--help)$/.test(arg));
  if (isHelp) return run(args, told, manner).catch((error: unknown) => report(error, told, manner));
  if (command !== 'pretrain') {
    const text = `moco ${oneLine(command)} is one process: start it without mpirun, which shares a training by mpirun -n N moco pretrain ...`;
    return report(new UserError(text), told, manner);
  }
  return ofWorld(
    joinWorld,
    (world) => run(args, world.rank === 0 ? streams : silent, manner, world),
    (error, failed) => report(error, streams, manner, failed),
  );
}

/** What commander finds wrong with a line, as a code. */
const usageCodes: Readonly<Record<string, ErrorCode>> = {
  'commander.unknownOption': 'setting-unknown',
  'commander.missingArgument': 'setting-missing',
  'commander.missingMandatoryOptionValue': 'setting-missing',
  'commander.optionMissingArgument': 'setting-missing',
  'commander.conflictingOption': 'setting-conflict',
};

/** @param rank of several processes */
function report(error: unknown, streams: Streams, manner: Manner, rank?: number): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  const io = createIo(streams, manner);
  const known = toldOf(error);
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const debugged = process.env.MOCO_DEBUG === '1' && !(error instanceof CommanderError);
  if (manner.json) {
    const { text, ...about } = known ?? { text: String(error), code: 'defect' };
    io.tell('error', text, { ...about, ...(rank !== undefined && { rank }), ...(debugged && { stack }) });
    return 1;
  }
  if (known !== undefined) io.tell('error', rank === undefined ? known.text : `rank ${rank}: ${known.text}`);
  if (known === undefined || debugged) streams.err(`${stack}\n`);
  return 1;
}

interface Told extends Pick<UserError, 'code' | 'setting' | 'value'> {
  readonly text: string;
}

/** What there is to tell of an error that the user can mend; undefined for a defect. */
function toldOf(error: unknown): Told | undefined {
  if (error instanceof CommanderError)
    return { text: error.message.replace(/^error: /, ''), code: usageCodes[error.code] ?? 'input-invalid' };
  // A name in it may be a stranger's, who would steer the terminal by it.
  const harmless = (text: string) => text.replace(/[^\P{Cc}\n\t]/gu, '?');
  if (error instanceof UserError) {
    const { code, setting, value } = error;
    return {
      text: harmless(inFlags(error.text)),
      code,
      ...(setting !== undefined && { setting }),
      ...(value !== undefined && { value }),
    };
  }
  const text = describeSystemError(error) ?? outOfMemory(error);
  return text === undefined ? undefined : { text: harmless(text), code: 'machine-failed' };
}

/** What V8 says where an array is larger than the machine, or any machine, holds: its errors have texts alone. */
function outOfMemory(error: unknown): string | undefined {
  return error instanceof RangeError &&
    /^(Array buffer allocation failed|Invalid typed array length: \d)/.test(error.message)
    ? 'there is not enough memory for this: give smaller sizes, or a smaller batch'
    : undefined;
}
