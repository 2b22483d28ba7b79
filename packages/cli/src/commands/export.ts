import { UserError, under } from '@moco-ts/core';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { exportModel } from '../run/export-model.ts';
import { openEncoder } from '../run/foreign.ts';
import { bytes } from '../run/format.ts';
import { registerPlugins } from '../run/plugins.ts';
import { integer } from './flags.ts';

interface ExportOptions {
  readonly output: string;
  readonly withHead?: boolean;
  readonly withPreprocess?: boolean;
  readonly opset?: number;
}

export function exportCommand(program: Command, io: Io): void {
  program
    .command('export')
    .summary('write the trained encoder as an ONNX model')
    .description(
      'Writes the query encoder as an ONNX model with a free batch, and runs it once in ONNX Runtime: its features must be those of the trainer.',
    )
    .argument('<run>', 'run folder, checkpoint, or a file that moco import takes')
    .requiredOption('-o, --output <file>', 'the model')
    .option('--with-head', 'with the contrastive head: unit vectors')
    .option('--with-preprocess', 'take raw uint8 pictures [N, H, W, 3] of any size')
    .option('--opset <n>', 'ONNX opset (18)', integer(18))
    .addHelpText(
      'after',
      `
Examples:
  moco export runs/emoji -o emoji.onnx
  moco export runs/photos -o photos.onnx --with-preprocess
  moco export runs/photos/checkpoint-0100.safetensors -o photos.onnx --with-head`,
    )
    .action(async (run: string, options: ExportOptions) => {
      await registerPlugins();
      const { output, withHead = false, withPreprocess = false, opset } = options;
      if (!output.endsWith('.onnx'))
        throw new UserError(`-o ${output}: the model's name should end in .onnx`);
      const { path, info, tensors } = await openEncoder(run, (text) => io.err(`moco: warning: ${text}\n`));
      const params = under('q', tensors);
      if (withHead && !Object.keys(params).some((name) => name.startsWith('fc.')))
        throw new UserError(`${path} has no contrastive head: leave --with-head out`);
      const model = await exportModel(info.config, params, output, {
        withHead,
        withPreprocess,
        ...(opset !== undefined && { opset }),
        ...(info.commit !== undefined && { commit: info.commit }),
      });
      io.out(
        `${output}: ${info.config.arch} of ${path}, ${model.dim} features, ${bytes(model.bytes)}\n` +
          `ONNX Runtime gives the trainer's features within ${model.difference.toExponential(1)}.\n`,
      );
    });
}
