/** The flags of `moco pretrain`: the official names, with the defaults of SPEC.md in brackets. */
import { type Command, Option } from 'commander';
import { laterMethods, methods } from '../run/config.ts';
import { integer, milestones, names, natural, oneOf, positive, positiveShare, seed, share } from './flags.ts';

type Parser = (text: string, before: number[] | undefined) => unknown;

const option = (flags: string, text: string, parse?: Parser) => {
  const made = new Option(flags, text);
  return parse ? made.argParser<unknown>(parse as (text: string, before: unknown) => unknown) : made;
};

export function addPretrainOptions(command: Command): Command {
  const group = (heading: string, options: readonly Option[]) => {
    for (const each of options) command.addOption(each.helpGroup(heading));
  };
  group('Method:', [
    option(
      '--method <name>',
      `${methods.join(' or ')}: sets head, T, views, schedule (moco-v1)`,
      oneOf(methods, laterMethods),
    ),
    option('--moco-dim <n>', 'length of queries and keys (128)', integer(1)),
    option('--moco-k <n>', 'keys in the queue, a multiple of the batch (65536)', integer(1)),
    option('--moco-m <x>', 'momentum of the key encoder (0.999)', share),
    option('--moco-t <x>', 'temperature (0.07; moco-v2: 0.2)', positive),
    option('--mlp', 'two-layer head (moco-v2)'),
    option('--no-mlp', 'linear head (moco-v1)'),
    option('--symmetric', 'swap the views and add the second loss'),
    option(
      '--bn <kind>',
      'shuffle: groups, keys permuted; split: groups; plain (shuffle)',
      oneOf(['shuffle', 'split', 'plain']),
    ),
    option('--bn-splits <n>', 'groups of batch normalisation (8)', integer(1)),
  ]);
  group('Encoder and views:', [
    option('-a, --arch <name>', 'encoder (resnet50)'),
    option('--image-size <px>', 'side of a view (224; 32 for emoji, CIFAR and idx sets)', integer(1)),
    option(
      '--stem <kind>',
      "imagenet or cifar (the arch's; cifar up to 64 px)",
      oneOf(['imagenet', 'cifar']),
    ),
    option('--aug-plus', 'views of MoCo v2: with blur (moco-v2)'),
    option('--no-aug-plus', 'views of MoCo v1 (moco-v1)'),
    option('--crop-min <x>', 'least share of the area in a crop (0.2)', positiveShare),
  ]);
  group('Training:', [
    option('--epochs <n>', 'epochs in all (200)', integer(1)),
    option('--start-epoch <n>', 'epoch to count from, without a checkpoint (0)', integer(0)),
    option('-b, --batch-size <n>', 'pictures in a step (256)', integer(1)),
    option('--optimizer <name>', 'sgd or adamw (sgd)', oneOf(['sgd', 'adamw'])),
    option('--lr <x>', 'learning rate (0.03; adamw: 0.001)', positive),
    option('--schedule <epochs...>', 'epochs at which the rate falls tenfold (120 160)', milestones),
    option('--cos', 'cosine schedule (moco-v2)'),
    option('--no-cos', 'step schedule (moco-v1)'),
    option('--lr-per-step', 'follow the schedule within epochs too'),
    option('--warmup-epochs <n>', 'epochs of a linear rise (0)', natural),
    option('--momentum <x>', "SGD's momentum (0.9)", share),
    option('--wd, --weight-decay <x>', 'weight decay (0.0001)', natural),
    option('--seed <n>', 'decides weights, order, views, permutations (0)', seed),
    option('--max-steps <n>', 'stop, and save, after this many steps of the run', integer(1)),
  ]);
  group('Data:', [
    option('-j, --workers <n>', 'threads that make views (cores - 1, at most 8)', integer(0)),
    option(
      '--max-bad <n>',
      'damaged pictures that are left out before it is an error (1 %, at least 10)',
      integer(0),
    ),
    option('--hold-out <x>', 'share of an image folder kept for testing (0)', share),
    option('--designers <names>', 'emoji: google,twitter,apple,facebook (google,twitter)', names),
  ]);
  group('Run:', [
    option('--out <folder>', 'run folder (runs/DATA-METHOD-ARCH)'),
    option('--resume <path>', 'checkpoint, run folder, or auto: go on with --out if it holds a run'),
    option('-p, --print-freq <n>', 'steps between lines of the log (10)', integer(1)),
    option('--save-every <n>', 'epochs between checkpoints (1)', integer(1)),
    option('--keep <n>', 'checkpoints to keep (3)', integer(1)),
    option('--knn-every <n>', 'epochs between evaluations; 0: never (0)', integer(0)),
    option('--backend <name>', 'what computes; see moco backends (ort)'),
    option('--threads <n>', 'threads of the backend (all cores)', integer(1)),
  ]);
  return command;
}
