import { basename } from 'node:path';
import { UserError, type Wording } from '@moco-ts/core';
import type { EncoderOptions } from '@moco-ts/exchange';
import {
  asCheckpoint,
  checkFinite,
  checkpointFile,
  describeForeign,
  isCheckpoint,
  openAny,
  registerPlugins,
  withOutput,
  writeAtomic,
} from '@moco-ts/node';
import type { Command } from 'commander';
import { type Io, remarkTo, warnTo } from '../io.ts';
import { pixels, setting } from './flags.ts';
import { lineOf } from './next.ts';

interface ImportOptions extends EncoderOptions {
  readonly output: string;
  readonly plugin?: readonly string[];
}

/** The flags of all commands that read foreign files. */
export function foreignFlags(command: Command): Command {
  return command
    .option('-a, --arch <name>', 'the encoder, if its shapes should not say')
    .option('--prefix <text>', "what the encoder's names have in front, as backbone. (found)")
    .option('--image-size <pixels>', 'if the file does not say (224)', setting('imageSize'))
    .option('--mean <r,g,b>', "of its training; one number for all (ImageNet's)", pixels('mean'))
    .option('--std <r,g,b>', "of its training; one number for all (ImageNet's)", pixels('std'))
    .option('--ignore-positions', 'take a ViT whose positions are not the fixed ones');
}

export function importCommand(program: Command, io: Io): void {
  const command = program
    .command('import')
    .summary('take an encoder from PyTorch')
    .description(
      'Reads a file of torch.save (of any age) or safetensors and writes a checkpoint for moco knn, export and the rest. The file may be of the official MoCo v1, v2 or v3, or a state dict by the names of torchvision or timm. No code in it is run; all but tensors and plain containers is refused by name.',
    )
    .argument('<file>', 'the .pth.tar, .pth, .pt, .bin or .safetensors')
    .requiredOption('-o, --output <file>', 'the checkpoint, named *.safetensors')
    .option('--with-key', 'with the momentum encoder, the queue and the predictor');
  foreignFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  moco import moco_v2_800ep_pretrain.pth.tar -o moco-v2.safetensors
  moco import resnet18.pth -o resnet18.safetensors
  moco knn moco-v2.safetensors photos/`,
    )
    .action(async (file: string, { output, ...options }: ImportOptions) => {
      await registerPlugins();
      if (!output.endsWith('.safetensors'))
        throw new UserError(`-o ${output}: the checkpoint's name should end in .safetensors`, {
          code: 'setting-invalid',
          setting: 'output',
        });
      const warn = warnTo(io);
      await withOutput(output, warn, () => importFile(file, output, options, io, warn));
    });
}

async function importFile(
  file: string,
  output: string,
  { plugin, ...options }: Omit<ImportOptions, 'output'>,
  io: Io,
  warn: (text: Wording) => void,
): Promise<void> {
  const opened = await openAny(file, options, warn);
  if (isCheckpoint(opened))
    throw new UserError(`${file} is a checkpoint of moco already; moco convert writes it for others`);
  const { info, tensors } = asCheckpoint(opened, basename(file));
  checkFinite(file, tensors);
  // As of a run: a name in it may be a plugin's.
  const config = plugin ? { ...info.config, plugin } : info.config;
  await writeAtomic(output, checkpointFile({ ...info, config }, tensors));
  const { title, remarks } = describeForeign(opened);
  remarks.forEach(remarkTo(io));
  const { method, arch, imageSize } = info.config;
  io.result({ path: output, title, method, arch, imageSize }, `${output}: ${title}\n`);
  io.next(
    lineOf('info', [output]),
    lineOf('export', [output, '-o', output.replace(/\.safetensors$/, '.onnx')]),
  );
}
