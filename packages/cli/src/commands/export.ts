import { type Params, UserError, under } from '@moco-ts/core';
import type { RunConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { readClassifier } from '../run/classifier-file.ts';
import { exportModel } from '../run/export-model.ts';
import { openEncoder } from '../run/foreign.ts';
import { bytes } from '../run/format.ts';
import { registerPlugins } from '../run/plugins.ts';
import { integer } from './flags.ts';

interface ExportOptions {
  readonly output: string;
  readonly withHead?: boolean;
  readonly withClassifier?: boolean;
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
    .argument(
      '<run>',
      'run folder, checkpoint, a file that moco import takes, or with --with-classifier a best.safetensors',
    )
    .requiredOption('-o, --output <file>', 'the model')
    .option('--with-head', 'with the contrastive head: unit vectors')
    .option('--with-classifier', 'with the classifier of moco lincls or finetune: logits')
    .option('--with-preprocess', 'take raw uint8 pictures [N, H, W, 3] of any size')
    .option('--opset <n>', 'ONNX opset (18)', integer(18))
    .addHelpText(
      'after',
      `
Examples:
  moco export runs/emoji -o emoji.onnx
  moco export runs/photos -o photos.onnx --with-preprocess
  moco export runs/photos/checkpoint-0100.safetensors -o photos.onnx --with-head
  moco export runs/probe/best.safetensors -o classes.onnx --with-classifier`,
    )
    .action(async (run: string, options: ExportOptions) => {
      await registerPlugins();
      const { output, withHead = false, withPreprocess = false, withClassifier, opset } = options;
      if (!output.endsWith('.onnx'))
        throw new UserError(`-o ${output}: the model's name should end in .onnx`);
      const { path, config, params, commit, classes } = withClassifier
        ? await classifierOf(run)
        : await encoderOf(run, (text) => io.err(`moco: warning: ${text}\n`));
      if (withHead && (classes || !Object.keys(params).some((name) => name.startsWith('fc.'))))
        throw new UserError(`${path} has no contrastive head: leave --with-head out`);
      const model = await exportModel(config, params, output, {
        withHead,
        withPreprocess,
        ...(classes && { classes }),
        ...(opset !== undefined && { opset }),
        ...(commit !== undefined && { commit }),
      });
      io.out(
        `${output}: ${config.arch} of ${path}, ${model.dim} ${classes ? 'classes' : 'features'}, ${bytes(model.bytes)}\n` +
          `ONNX Runtime gives the trainer's ${classes ? 'logits' : 'features'} within ${model.difference.toExponential(1)}.\n`,
      );
    });
}

/** What there is to export. */
interface Source {
  readonly path: string;
  readonly config: RunConfig;
  readonly params: Params;
  readonly commit?: string;
  readonly classes?: readonly string[];
}

async function encoderOf(run: string, warn: (text: string) => void): Promise<Source> {
  const { path, info, tensors } = await openEncoder(run, warn);
  const { config, commit } = info;
  return { path, config, params: under('q', tensors), ...(commit !== undefined && { commit }) };
}

async function classifierOf(file: string): Promise<Source> {
  const { path, info, tensors } = await readClassifier(file);
  return { path, config: info.run, params: under('q', tensors), classes: info.classes };
}
