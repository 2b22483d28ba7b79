import { dirname } from 'node:path';
import type { InstallPlan } from '@moco-ts/backend-xla';
import { counted, UserError } from '@moco-ts/core';
import { catchInterrupts, deviceName, knownDevices, memoryOf, probe, withOutput } from '@moco-ts/node';
import type { Command } from 'commander';
import { wrap } from '../format.ts';
import { type Io, noteTo } from '../io.ts';
import { lineOf } from './next.ts';

export function backendsCommand(program: Command, io: Io, finish: (code: number) => void): void {
  const command = program
    .command('backends')
    .summary('what can compute on this machine')
    .description(
      "Lists the backends, what they run on, and their measured speed: one 3x3 convolution of 64 to 64 channels, 32 px, batch 8, with both of its gradients, in 10^9 operations per second. --backend auto takes the quickest at a layer of the encoder's family: for ViTs attention and an MLP.",
    )
    .addHelpText('after', '\nExamples:\n  moco backends\n  moco pretrain photos/ --backend auto')
    .action(() => backends(io));
  command
    .command('install')
    .summary("a plugin of XLA's, by hash and without Python")
    .description(
      "Fetches the plugin of xla:cpu or xla:cuda and the libraries that it needs, from pip's package index, checks them against the hashes that this version names, and unpacks them into the user's cache.",
    )
    .argument('<device>', 'xla:cpu or xla:cuda')
    .option('--index <url>', "a package index (pip's)")
    .option('--from <folder>', 'wheels at hand: nothing is fetched')
    .addHelpText(
      'after',
      '\nExamples:\n  moco backends install xla:cpu\n  moco backends install xla:cuda --from wheels/',
    )
    .action(async (device: string, options: InstallFlags) => {
      if (!(await install(device, options, io))) finish(130);
    });
}

interface InstallFlags {
  readonly index?: string;
  readonly from?: string;
}

/** @returns false for an interrupt, which leaves nothing behind */
async function install(name: string, { index, from }: InstallFlags, io: Io): Promise<boolean> {
  // Loaded here: other commands have no use for it.
  const { installPlugin, packageIndex, planInstall } = await import('@moco-ts/backend-xla');
  const plan = () => planInstall(name.replace(/^xla:/, ''));
  const { folder, installed } = plan();
  if (!installed) {
    const source = from === undefined ? { index: index ?? packageIndex() ?? noIndex() } : { from };
    const done = await untilInterrupt(io, (signal) =>
      withOutput(dirname(folder), noteTo(io), async () => {
        const wanted = plan();
        // By who had the lock before.
        if (wanted.installed) return;
        io.say(contents(wanted, 'from' in source ? source.from : hostOf(source.index)));
        let count = 0;
        const onWheel = ({ file }: { readonly file: string }) =>
          io.say(`  ${++count} of ${wanted.wheels.length}: ${file}\n`);
        await installPlugin(wanted, source, { onWheel, signal });
      }),
    );
    if (!done) return false;
  }
  io.result({ name, folder }, `${name} is installed in ${folder}\n`);
  io.next(lineOf('bench', ['--backend', name]));
  return true;
}

/** @returns false where an interrupt ended it */
async function untilInterrupt(io: Io, work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  const controller = new AbortController();
  const stop = catchInterrupts(() => {
    io.aside('Stopping; nothing is installed.\n');
    controller.abort();
  });
  try {
    await work(controller.signal);
    return true;
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    return false;
  } finally {
    stop.release();
  }
}

function noIndex(): never {
  throw new UserError(
    "no package index is configured for pip; name one by --index URL or PIP_INDEX_URL (the page of PyPI's that ends in /simple), or a folder with the wheels by --from",
    { code: 'setting-missing', setting: 'index' },
  );
}

/** What will be fetched, its size and its licences. */
function contents({ wheels, bytes }: InstallPlan, source: string): string {
  const licences = [...new Set(wheels.map(({ licence }) => licence))].join(', ');
  return `${counted(wheels.length, 'package')} from ${source}, ${Math.ceil(bytes / 2 ** 20)} MiB, about twice that unpacked; licences: ${licences}\n`;
}

const hostOf = (index: string): string => (URL.canParse(index) ? new URL(index).host : index);

async function backends(io: Io): Promise<void> {
  const row = (cells: readonly [string, string, string, string, string]) => {
    const [name, device, memory, lowering, speed] = cells;
    const text = `${name.padEnd(12)}${fit(device, 22)}${memory.padStart(9)}  ${fit(lowering, 29)}${speed.padStart(6)}`;
    io.show(`${text.trimEnd()}\n`);
  };
  const usable: { name: string }[] = [];
  const unusable: object[] = [];
  row(['BACKEND', 'RUNS ON', 'MEMORY', 'COMPUTES IN', 'GF/s']);
  const [details, failures]: [string[], string[]] = [[], []];
  for (const device of await knownDevices()) {
    const { name } = device;
    const result = await probe(device);
    if ('failure' in result) {
      failures.push(result.failure.startsWith(name) ? result.failure : `${name}: ${result.failure}`);
      unusable.push({ name, failure: result.failure });
    } else {
      const speed = result.speed === undefined ? 'slow' : result.speed.toFixed(0);
      const more = device.precisions?.filter((precision) => precision !== 'fp32') ?? [];
      const computes = [result.lowering, ...more].join(' ');
      const { speed: gigaflops, details: remark } = result;
      const facts = {
        device: deviceName(device, result),
        memory: memoryOf(device),
        precisions: device.precisions,
      };
      usable.push(Object.assign({ name }, facts, { lowering: result.lowering, gigaflops, details: remark }));
      row([name, deviceName(device, result), memoryOf(device) ?? '', computes, speed]);
      if (result.details !== undefined) details.push(`${name}: ${result.details}`);
    }
  }
  if (details.length > 0) io.show('\n');
  for (const detail of details) io.show(`${wrap(detail, 80, '  ').split('\n').map(endOf).join('\n')}\n`);
  if (failures.length > 0) io.show('\nNot usable here:\n');
  for (const failure of failures) io.show(`${wrap(failure, 80, '  ')}\n`);
  io.result({ usable, unusable });
  io.next(lineOf('bench', ['--backends', usable.map(({ name }) => name).join(',')]));
}

/** A line of the terminal: of a path that is longer its end, which tells more. */
function endOf(line: string): string {
  const indent = /^ */.exec(line)![0];
  return line.length <= 80 ? line : `${indent}…${line.slice(line.length - 79 + indent.length)}`;
}

/** A column: cut where a text is longer. */
function fit(text: string, width: number): string {
  const most = width - 2;
  return (text.length > most ? `${text.slice(0, most - 1)}…` : text).padEnd(width);
}
