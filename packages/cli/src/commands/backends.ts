import { deviceName, knownDevices, memoryOf, probe } from '@moco-ts/node';
import type { Command } from 'commander';
import { wrap } from '../format.ts';
import type { Io } from '../io.ts';

export function backendsCommand(program: Command, io: Io): void {
  program
    .command('backends')
    .summary('what can compute on this machine')
    .description(
      'Lists the backends, what they run on, and their measured speed: one 3x3 convolution of 64 to 64 channels, 32 px, batch 8, in 10^9 operations per second. --backend auto takes the quickest.',
    )
    .addHelpText('after', '\nExamples:\n  moco backends\n  moco pretrain photos/ --backend auto')
    .action(() => backends(io));
}

async function backends(io: Io): Promise<void> {
  const row = (cells: readonly [string, string, string, string, string]) => {
    const [name, device, memory, lowering, speed] = cells;
    const text = `${name.padEnd(12)}${fit(device, 22)}${memory.padStart(9)}  ${fit(lowering, 29)}${speed.padStart(6)}`;
    io.out(`${text.trimEnd()}\n`);
  };
  row(['BACKEND', 'RUNS ON', 'MEMORY', 'COMPUTES IN', 'GF/s']);
  const failures: string[] = [];
  for (const device of await knownDevices()) {
    const { name } = device;
    const result = await probe(device);
    if ('failure' in result)
      failures.push(result.failure.startsWith(name) ? result.failure : `${name}: ${result.failure}`);
    else {
      const speed = result.speed === undefined ? 'slow' : result.speed.toFixed(0);
      row([name, deviceName(device, result), memoryOf(device) ?? '', result.lowering, speed]);
    }
  }
  if (failures.length > 0) io.out('\nNot usable here:\n');
  for (const failure of failures) io.out(`${wrap(failure, 80, '  ')}\n`);
}

/** A column: cut where a text is longer. */
function fit(text: string, width: number): string {
  const most = width - 2;
  return (text.length > most ? `${text.slice(0, most - 1)}…` : text).padEnd(width);
}
