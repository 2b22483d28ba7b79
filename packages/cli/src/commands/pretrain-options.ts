/** The flags of `moco pretrain`: the official names, with the defaults of SPEC.md in brackets. */
import { methods, optimizers, presetNames } from '@moco-ts/run';
import { type Command, Option } from 'commander';
import { milestones, names, oneOf, setting } from './flags.ts';

type Parser = (text: string, before: number[] | undefined) => unknown;

const option = (flags: string, text: string, parse?: Parser) => {
  const made = new Option(flags, text);
  return parse ? made.argParser<unknown>(parse as (text: string, before: unknown) => unknown) : made;
};

function grouper(command: Command) {
  return (heading: string, options: readonly Option[]) => {
    for (const each of options) command.addOption(each.helpGroup(heading));
  };
}

/** Method, encoder, training, data and machine: what a recipe is made of. */
export function addRecipeOptions(command: Command): Command {
  const group = grouper(command);
  group('Method:', [
    option(
      '--method <name>',
      `${methods.join(', ')}: sets head, T, views, optimizer, schedule (moco-v1)`,
      oneOf(methods),
    ),
    option('--preset <name>', 'a published recipe; moco presets lists them', oneOf(presetNames)),
    option('--moco-dim <n>', 'length of queries and keys (128; moco-v3: 256)', setting('mocoDim')),
    option(
      '--moco-k <n>',
      'keys in the queue, a multiple of the batch (65536); instdisc: noise samples (4096)',
      setting('mocoK'),
    ),
    option('--moco-m <x>', 'momentum of the key encoder (0.999; moco-v3: 0.99)', setting('mocoM')),
    option('--moco-m-cos', 'moco-v3: m rises to 1 by half a cosine (on)'),
    option('--no-moco-m-cos', 'moco-v3: m stays'),
    option(
      '--moco-t <x>',
      'temperature (0.07; moco-v2 0.2; moco-v3 0.2 for ViTs, 1 for ResNets; simclr 0.1)',
      setting('mocoT'),
    ),
    option('--mlp', 'two-layer head (moco-v2, simclr)'),
    option('--no-mlp', 'linear head (moco-v1, instdisc)'),
    option('--moco-mlp-dim <n>', "moco-v3: width of the heads' hidden layers (4096)", setting('mocoMlpDim')),
    option('--loss <name>', 'instdisc: nce or infonce (nce)', oneOf(['infonce', 'nce'])),
    option(
      '--bank-momentum <x>',
      "instdisc: share of a slot's old value in its new one (0.5)",
      setting('bankMomentum'),
    ),
    option(
      '--bank-draw <kind>',
      'instdisc: noise samples for each picture, or for the batch (picture)',
      oneOf(['picture', 'batch']),
    ),
    option('--proximal <x>', 'instdisc: weight of the proximal term (0)', setting('proximal')),
    option('--symmetric', 'moco-v1, moco-v2: swap the views and add the second loss'),
    option(
      '--bn <kind>',
      'shuffle: groups, keys permuted; split: groups; sync, plain: the whole batch (shuffle where there is a queue, else sync)',
      oneOf(['shuffle', 'split', 'sync', 'plain']),
    ),
    option('--bn-splits <n>', 'groups of batch normalisation (8)', setting('bnSplits')),
  ]);
  group('Encoder and views:', [
    option('-a, --arch <name>', 'encoder (resnet50)'),
    option(
      '--image-size <px>',
      'side of a view (224; 32 for emoji, CIFAR and idx sets)',
      setting('imageSize'),
    ),
    option(
      '--stem <kind>',
      "imagenet or cifar (the arch's; cifar up to 64 px)",
      oneOf(['imagenet', 'cifar']),
    ),
    option('--patch-size <px>', 'ViTs: side of a patch (16)', setting('patchSize')),
    option('--stop-grad-conv1', 'ViTs: leave the patch projection as initialised (on)'),
    option('--no-stop-grad-conv1', 'ViTs: train the patch projection'),
    option('--aug-plus', 'views of MoCo v2: with blur (moco-v2, simclr)'),
    option('--no-aug-plus', 'views of MoCo v1 (moco-v1, instdisc)'),
    option('--blur', 'views with blur, where they have it (on)'),
    option('--no-blur', 'views without blur'),
    option('--crop-min <x>', 'least share of the area in a crop (0.2; moco-v3: 0.08)', setting('cropMin')),
  ]);
  group('Training:', [
    option('--epochs <n>', 'epochs in all (200; moco-v3: 300)', setting('epochs')),
    option('--start-epoch <n>', 'epoch to count from, without a checkpoint (0)', setting('startEpoch')),
    option('-b, --batch-size <n>', 'pictures in a step (256)', setting('batchSize')),
    option(
      '--optimizer <name>',
      `${optimizers.join(', ')} (sgd; moco-v3: adamw for ViTs, else lars; simclr: lars)`,
      oneOf(optimizers),
    ),
    option(
      '--lr <x>',
      'learning rate (sgd 0.03, lars 0.3, adamw 0.001; moco-v3 with adamw 0.00015)',
      setting('lr'),
    ),
    option('--scale-lr', 'the rate is for a batch of 256, and grows with it (moco-v3, simclr)'),
    option('--no-scale-lr', 'the rate is taken as it is (the others)'),
    option('--schedule <epochs...>', 'epochs at which the rate falls tenfold (120 160)', milestones),
    option('--cos', 'cosine schedule (moco-v2, moco-v3, simclr)'),
    option('--no-cos', 'step schedule (moco-v1, instdisc)'),
    option('--lr-per-step', 'follow the schedule within epochs too (moco-v3, simclr)'),
    option('--no-lr-per-step', 'change the rate at epochs alone (the others)'),
    option(
      '--warmup-epochs <n>',
      'epochs of a linear rise (0; moco-v3: 40 for ViTs, else 10; simclr: 10)',
      setting('warmupEpochs'),
    ),
    option('--momentum <x>', 'momentum of sgd and lars (0.9)', setting('momentum')),
    option(
      '--wd, --weight-decay <x>',
      'weight decay (0.0001; lars 0.000001; moco-v3 with adamw 0.1)',
      setting('wd'),
    ),
    option('--seed <n>', 'decides weights, order, views, permutations (0)', setting('seed')),
  ]);
  group('Data:', [
    option('-j, --workers <n>', 'threads that make views (cores - 1, at most 8)', setting('workers')),
    option('--isolate', 'processes instead: a picture that crashes the decoder is left out'),
    option(
      '--max-bad <n>',
      'damaged pictures that are left out before it is an error (1 %, at least 10)',
      setting('maxBad'),
    ),
    option('--hold-out <x>', 'share of an image folder kept for testing (0)', setting('holdOut')),
    option('--designers <names>', 'emoji: google,twitter,apple,facebook (google,twitter)', names),
  ]);
  group('Machine:', [
    option('--backend <name>', 'what computes; see moco backends; auto: the quickest (ort)'),
    option('--threads <n>', 'threads of the backend (all cores)', setting('threads')),
  ]);
  return command;
}

export function addPretrainOptions(command: Command): Command {
  addRecipeOptions(command);
  grouper(command)('Run:', [
    option('--max-steps <n>', 'stop, and save, after this many steps of the run', setting('maxSteps')),
    option('--out <folder>', 'run folder (runs/DATA-METHOD-ARCH)'),
    option('--resume <path>', 'checkpoint, run folder, or auto: go on with --out if it holds a run'),
    option('-p, --print-freq <n>', 'steps between lines of the log (10)', setting('printFreq')),
    option('--save-every <n>', 'epochs between checkpoints (1)', setting('saveEvery')),
    option('--save-every-steps <n>', 'steps between checkpoints, besides (none)', setting('saveEverySteps')),
    option('--keep <n>', 'checkpoints to keep (3)', setting('keep')),
    option('--knn-every <n>', 'epochs between evaluations; 0: never (0)', setting('knnEvery')),
  ]);
  return command;
}
