import { join } from 'node:path';
import { bytes, registerPlugins, withOutput, writeAtomic } from '@moco-ts/node';
import type { Command } from 'commander';
import { type Io, warnTo } from '../io.ts';
import { reportOf } from '../report/report.ts';
import { lineOf } from './next.ts';

interface ReportCommandOptions {
  readonly output?: string;
  readonly backend: string;
  readonly plugin?: readonly string[];
}

export function reportCommand(program: Command, io: Io): void {
  program
    .command('report')
    .summary('one page about a run')
    .description(
      'Writes one HTML page about a run of pretrain, demo, lincls or finetune: curves, the views that it saw, neighbours by its features, settings and machine. The page loads nothing from anywhere.',
    )
    .argument('<run>', 'run folder')
    .option('-o, --output <file>', 'the page (RUN/report.html)')
    .option('--backend <name>', 'what computes the features', 'ort')
    .addHelpText(
      'after',
      `
Examples:
  moco report runs/photos
  moco report runs/probe -o probe.html`,
    )
    .action((run: string, options: ReportCommandOptions) => report(run, options, io));
}

async function report(
  run: string,
  { output, backend, plugin = [] }: ReportCommandOptions,
  io: Io,
): Promise<void> {
  await registerPlugins();
  const path = output ?? join(run, 'report.html');
  const warn = warnTo(io);
  const html = await withOutput(path, warn, async () => {
    const page = await reportOf(run, { backend, warn });
    await writeAtomic(path, page);
    return page;
  });
  const size = Buffer.byteLength(html);
  io.result({ path, bytes: size }, `${path}  ${bytes(size)}\n`);
  io.next(lineOf('info', [run], { plugin }));
}
