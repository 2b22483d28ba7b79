import { UserError } from '@moco-ts/core';
import { describeSystemError, loadPlugins, version } from '@moco-ts/node';
import { Command, CommanderError } from 'commander';
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
import { guarded, type Io, processIo } from './io.ts';
import { inFlags } from './words.ts';

/** The commands in which a method, an encoder or a backend has a name. */
const withPlugins: ReadonlySet<string> = new Set([
  ...['train', 'pretrain', 'knn', 'lincls', 'finetune', 'export', 'ablate', 'report', 'backends', 'bench'],
  ...['embed', 'search', 'dedupe', 'map', 'import', 'convert', 'info'],
]);

/**
 * All commands with their flags.
 * @param finish called with the exit code of a command that sets its own
 */
export function createProgram(io: Io, finish: (code: number) => void): Command {
  const program = new Command('moco')
    .description('Momentum-contrast self-supervised learning: encoders of images, without labels.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      outputError: (text, write) => write(text.replace(/^error: /, 'moco: ')),
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
  pretrainCommand(program, io, finish);
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
  for (const command of program.commands) {
    if (!withPlugins.has(command.name())) continue;
    command.option(
      '--plugin <name>',
      'load a package, file or folder with methods, encoders, backends or logs',
      (name, before: string[] = []) => [...before, name],
    );
  }
  return program;
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
export async function main(given: readonly string[], streams: Io = processIo()): Promise<number> {
  const io = guarded(streams);
  const isHelp = given[0] === 'help';
  const args = isHelp ? given.slice(1) : given;
  let exitCode = 0;
  try {
    const plugins = namedPlugins(args);
    if (plugins.length > 0) await loadPlugins(plugins);
    const program = createProgram(io, (code) => {
      exitCode = code;
    });
    if (args.length === 0) {
      program.outputHelp();
      return 0;
    }
    const isKnown = program.commands.some((command) => command.name() === args[0]);
    await program.parseAsync(isHelp && isKnown ? [...args, '--help'] : args, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, io);
  }
}

function report(error: unknown, io: Io): number {
  if (error instanceof CommanderError) return error.exitCode;
  const known =
    error instanceof UserError ? inFlags(error.text) : (describeSystemError(error) ?? outOfMemory(error));
  // A name in it may be a stranger's, who would steer the terminal by it.
  if (known !== undefined) io.err(`moco: ${known.replace(/[^\P{Cc}\n\t]/gu, '?')}\n`);
  if (known === undefined || process.env.MOCO_DEBUG === '1') {
    io.err(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  }
  return 1;
}

/** What V8 says where an array is larger than the machine, or any machine, holds: its errors have texts alone. */
function outOfMemory(error: unknown): string | undefined {
  return error instanceof RangeError &&
    /^(Array buffer allocation failed|Invalid typed array length: \d)/.test(error.message)
    ? 'there is not enough memory for this: give smaller sizes, or a smaller batch'
    : undefined;
}
