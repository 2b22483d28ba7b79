import { type Backend, backendNames, conv2d, mean, type Tensor, trace, UserError } from '@moco-ts/core';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { openBackend, registerPlugins } from '../run/plugins.ts';

export function backendsCommand(program: Command, io: Io): void {
  program
    .command('backends')
    .summary('what can compute on this machine')
    .description(
      'Lists the backends, what they run on, and their measured speed: one 3x3 convolution of 64 to 64 channels, 32 px, batch 8, in 10^9 operations per second.',
    )
    .addHelpText('after', '\nExamples:\n  moco backends')
    .action(() => backends(io));
}

async function backends(io: Io): Promise<void> {
  await registerPlugins();
  const row = (cells: readonly string[]) => {
    const [name, device, lowering, speed] = cells as [string, string, string, string];
    io.out(
      `${name.padEnd(12)}${device.padEnd(20)}${lowering.padEnd(34)}${speed.padStart(8)}`
        .trimEnd()
        .concat('\n'),
    );
  };
  row(['BACKEND', 'RUNS ON', 'COMPUTES IN', 'GF/s']);
  const failures: string[] = [];
  for (const name of choices()) {
    try {
      const backend = await openBackend(name);
      const { lowering } = backend.capabilities();
      const speed = slow.has(name) ? 'slow' : (await measure(backend)).toFixed(0);
      row([name, backend.device, lowering, speed]);
      await backend.dispose();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      failures.push(`${name}: not usable here: ${error.message}`);
    }
  }
  for (const failure of failures) io.out(`${failure}\n`);
}

/** Checks, not places to train: a measurement would take seconds. */
const slow: ReadonlySet<string> = new Set(['reference', 'tfjs:cpu']);

/** Backends by name, those of several devices once for each. */
function choices(): string[] {
  return backendNames().flatMap((name) => (name === 'tfjs' ? ['tfjs:cpu', 'tfjs:wasm'] : [name]));
}

const [BATCH, CHANNELS, SIDE, KERNEL] = [8, 64, 32, 3];
const RUNS = 12;

/** The best of some runs, operands staying with the backend. */
async function measure(backend: Backend): Promise<number> {
  const pictures = [BATCH, CHANNELS, SIDE, SIDE];
  const filter = [CHANNELS, CHANNELS, KERNEL, KERNEL];
  const graph = trace((builder) => {
    const y = conv2d(builder.input('x', pictures), builder.input('w', filter), { stride: 1, padding: 1 });
    return { mean: mean(y, [0, 2, 3]) };
  });
  const program = await backend.compile(graph, { state: [{ input: 'x' }, { input: 'w' }] });
  const filled = (shape: readonly number[]): Tensor => {
    const size = shape.reduce((product, extent) => product * extent, 1);
    return { shape, dtype: 'float32', data: Float32Array.from({ length: size }, (_, i) => (i % 7) / 7) };
  };
  await program.load({ x: filled(pictures), w: filled(filter) });
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    await program.run({});
    best = Math.min(best, performance.now() - started);
  }
  await program.dispose();
  const operations = 2 * BATCH * SIDE * SIDE * CHANNELS * CHANNELS * KERNEL * KERNEL;
  return operations / (best * 1e6);
}
