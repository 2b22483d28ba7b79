import { basename } from 'node:path';
import {
  counted,
  hasHead,
  type Params,
  safetensorsParts,
  UserError,
  under,
  withoutHead,
} from '@moco-ts/core';
import { traitsNamed } from '@moco-ts/encoders';
import {
  aboutKey,
  detectron2Config,
  type EncoderOptions,
  encodeDetectron2,
  encodeTorch,
  positionsTensor,
  StateDict,
} from '@moco-ts/exchange';
import {
  aboutText,
  asCheckpoint,
  bytes,
  checkFinite,
  choiceOf,
  describeForeign,
  isCheckpoint,
  openAny,
  registerPlugins,
  sizeOfData,
  withOutput,
  writeAtomic,
} from '@moco-ts/node';
import { type CheckpointInfo, methodOf, type RunConfig } from '@moco-ts/run';
import type { Command } from 'commander';
import { type Io, remarkTo, warnTo } from '../io.ts';
import { oneOf } from './flags.ts';
import { foreignFlags } from './import.ts';
import { lineOf } from './next.ts';

interface ConvertOptions extends EncoderOptions {
  readonly output: string;
  readonly withHead?: boolean;
  readonly names: Naming;
}

/** `plain`: torchvision's and timm's names; `moco`: the names in the official checkpoints; `detectron2`: its model zoo's. */
const namings = ['plain', 'moco', 'detectron2'] as const;
type Naming = (typeof namings)[number];

const torchName = /\.(pth\.tar|pth|pt|bin)$/;

/** @throws UserError for a name or flag that does not go with the naming */
function checkOptions({ output, names, withHead }: ConvertOptions): void {
  const isPickle = output.endsWith('.pkl');
  if ((names === 'detectron2') !== isPickle)
    throw new UserError(
      isPickle
        ? `-o ${output}: a .pkl is for detectron2: add --names detectron2`
        : `-o ${output}: for --names detectron2 the name should end in .pkl`,
      { code: 'setting-invalid', setting: 'output' },
    );
  if (isPickle && withHead)
    throw new UserError('detectron2 has no place for a contrastive head: leave --with-head out', {
      code: 'setting-conflict',
      setting: 'withHead',
    });
  if (!isPickle && !output.endsWith('.safetensors') && !torchName.test(output))
    throw new UserError(
      `-o ${output}: the name should end in .safetensors, or for PyTorch in .pth, .pth.tar, .pt or .bin`,
      { code: 'setting-invalid', setting: 'output' },
    );
}

export function convertCommand(program: Command, io: Io): void {
  const command = program
    .command('convert')
    .summary('write an encoder for PyTorch')
    .description(
      'Writes an encoder as safetensors or as a file that torch.load(weights_only=True) reads, by the names of torchvision (ResNets) and timm (ViTs), for load_state_dict; or ResNets for detectron2. Takes runs and checkpoints, and whatever moco import takes.',
    )
    .argument('<run>', 'run folder, checkpoint, or a file that moco import takes')
    .requiredOption('-o, --output <file>', '*.safetensors, *.pth, *.pth.tar, *.pt, *.bin or *.pkl')
    .option('--with-head', 'with the contrastive head, as fc.*')
    .option(
      '--names <kind>',
      'plain, moco (as the official checkpoints), or detectron2 (*.pkl)',
      oneOf(namings),
      'plain',
    );
  foreignFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  moco convert runs/photos -o photos.pth
  moco convert runs/photos -o photos.safetensors
  moco convert runs/photos -o photos.pth.tar --names moco --with-head
  moco convert runs/photos -o photos.pkl --names detectron2`,
    )
    .action(async (run: string, options: ConvertOptions) => {
      checkOptions(options);
      const { output } = options;
      const warn = warnTo(io);
      await withOutput(output, warn, () => convert(run, options, io));
    });
}

async function convert(run: string, options: ConvertOptions, io: Io): Promise<void> {
  await registerPlugins();
  const { output, withHead = false, names, ...reading } = options;
  const opened = await openAny(run, reading, warnTo(io));
  const choice = isCheckpoint(opened) ? choiceOf(opened) : undefined;
  if (choice !== undefined) remarkTo(io)(choice);
  const { info, tensors } = isCheckpoint(opened) ? opened : asCheckpoint(opened, basename(run));
  const { arch, imageSize, patchSize = 16 } = info.config;
  const query = under('q', tensors);
  checkFinite(run, query);
  if (withHead && !hasHead(query))
    throw new UserError(`${run} has no contrastive head: leave --with-head out`, {
      code: 'setting-conflict',
      setting: 'withHead',
    });
  const plain = withHead ? query : withoutHead(query);
  const token = plain.cls_token;
  // Fixed positions are no weights here, but timm's models have them.
  if (token && traitsNamed(arch).family === 'vit' && !plain.pos_embed)
    plain.pos_embed = positionsTensor(token.shape[2]!, imageSize / patchSize);
  const written = await encoded(output, plain, names, info);
  await writeAtomic(output, written);
  const [count, size] = [Object.keys(plain).length, sizeOfData(written)];
  io.result(
    { path: output, arch, names, tensors: count, withHead, bytes: size },
    `${output}: ${arch}, ${counted(count, 'tensor')}${withHead ? ' with its head' : ''}, ${bytes(size)}\n`,
  );
  if (names === 'detectron2')
    io.say(
      `Next: train a detector with these lines in its configuration (docs/transfer.md):\n${detectron2Config(output, arch, plain, info.config)}`,
    );
  else io.next(lineOf('info', [output]));
  if (isCheckpoint(opened)) return;
  describeForeign(opened).remarks.forEach(remarkTo(io));
}

async function encoded(
  output: string,
  plain: Params,
  names: Naming,
  { config, epoch }: Pick<CheckpointInfo, 'config' | 'epoch'>,
): Promise<Uint8Array | readonly Uint8Array[]> {
  const { arch } = config;
  if (names === 'detectron2') return encodeDetectron2(arch, plain);
  const named = names === 'moco' ? officialNames(plain, config) : plain;
  const about = aboutText(config, epoch);
  if (output.endsWith('.safetensors'))
    return safetensorsParts(named, { format: 'pt', arch, [aboutKey]: about });
  const state = new StateDict(named, about);
  return encodeTorch(names === 'moco' ? { epoch, arch, state_dict: state } : state);
}

/** `module.encoder_q.*`; in MoCo v3 `module.base_encoder.*`, where ViTs name their projector `head`. */
function officialNames(params: Params, config: RunConfig): Params {
  const v3 = methodOf(config).naming === 'momentum';
  const prefix = v3 ? 'module.base_encoder' : 'module.encoder_q';
  const own = (name: string) =>
    v3 && traitsNamed(config.arch).family === 'vit' ? name.replace(/^fc\./, 'head.') : name;
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [`${prefix}.${own(name)}`, value]));
}
