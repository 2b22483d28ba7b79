/** From a run's configuration to core's. */
import {
  counted,
  createOptimizer,
  type Encoder,
  type EncoderConfig,
  encoderNamed,
  encoderNames,
  learningRate,
  lossScaleOf,
  type ModelConfig,
  type Optimizer,
  type Params,
  SettingError,
  say,
  settingRef,
  type Tensor,
  type Trainer,
  traitsOf,
  under,
} from '@moco-ts/core';
import { isTimed, viewsOf } from './config.ts';
import { type Moment, type RunMethod, splitsOf } from './method.ts';
import { methodOf, pluginNeeded } from './registry.ts';
import type { RunConfig } from './table.ts';

/** What data sets give: R, G, B. */
const IMAGE_CHANNELS = 3;

/**
 * @param own the encoder itself, where a program gave it: its name may by now be another's
 * @throws SettingError for an unknown arch, and for one that takes other images than there are
 */
export function encoderOf(
  config: RunConfig,
  own?: Encoder,
): { encoder: Encoder; encoderConfig: EncoderConfig } {
  const { arch, imageSize, stem, patchSize, stopGradConv1, plugin } = config;
  if (!own && plugin && !encoderNames().includes(arch)) throw pluginNeeded('arch', arch, plugin);
  const encoder = own ?? encoderNamed(arch);
  const { family, channels } = traitsOf(encoder);
  if (channels !== IMAGE_CHANNELS)
    throw new SettingError(
      `the encoder ${encoder.name} takes images of ${counted(channels, 'channel')}, and data sets give ${IMAGE_CHANNELS}: choose another arch`,
      { setting: 'arch', value: encoder.name },
    );
  return {
    encoder,
    encoderConfig: {
      imageSize,
      ...(stem && { stem }),
      ...(patchSize !== undefined && { patchSize }),
      ...(family === 'vit' && { trainPatchEmbed: !stopGradConv1 }),
    },
  };
}

export function optimizerOf({ optimizer: name, wd: weightDecay, momentum, precision }: RunConfig): Optimizer {
  const optimizer = createOptimizer({ name, weightDecay, ...(name !== 'adamw' && { momentum }) });
  return { ...optimizer, lossScale: lossScaleOf(precision) };
}

/** The query encoder for inference, without or with its head. */
export function modelConfig(config: RunConfig, withHead = false, own?: Encoder): ModelConfig {
  const encoder = encoderOf(config, own);
  return { ...encoder, ...(withHead && { head: methodOf(config).head(config, encoder) }) };
}

/** @throws SettingError for a batch that R replicas, and their micro-batches, can't share */
function batchOf({ batchSize, accumulate }: RunConfig, replicas: number): number {
  const parts = replicas * accumulate;
  if (batchSize % parts === 0) return batchSize / parts;
  const each = accumulate === 1 ? '' : say`, each in ${settingRef('accumulate', accumulate)} parts`;
  const nearest = Math.max(1, Math.round(batchSize / parts)) * parts;
  throw new SettingError(
    say`${settingRef('batchSize', batchSize)} can't be shared equally by ${replicas} replicas${each}: give ${nearest}, or another multiple of ${parts}`,
    { value: batchSize },
  );
}

/**
 * @param images of the data set
 * @param own the encoder, where it is not the one that has its name
 * @param replicas R, which share each batch
 * @throws UserError for an unknown method or arch, and for settings that don't fit each other
 */
export function createMethod(config: RunConfig, images: number, own?: Encoder, replicas = 1): RunMethod {
  return methodOf(config).create({
    ...encoderOf(config, own),
    config,
    images,
    batch: batchOf(config, replicas),
    accumulate: config.accumulate,
    replicas,
    bnSplits: splitsOf(config, replicas),
    bnSync: config.bn === 'sync',
    checkpointActivations: config.checkpointActivations,
    optimizer: optimizerOf(config),
  });
}

/** The query encoder with its head as a run begins it. */
export function initialParams(config: RunConfig): Params {
  return createMethod(config, config.batchSize).params();
}

/** The query encoder with its head as a training has it now. */
export async function queryParams(trainer: Pick<Trainer, 'state' | 'stateNames'>): Promise<Params> {
  const names = trainer.stateNames.filter((name) => name.startsWith('q.'));
  return under('q', await trainer.state(names));
}

/**
 * The rate of one step. As in the official v1 and v2 it changes at epochs; within them only in a warm-up, whose first
 * epoch would have the rate 0, and with `--lr-per-step`. In a run that goes by time `epochs`, of which the schedule names some, are
 * all of its training.
 */
export function rateAt(
  config: RunConfig,
  { epoch, step, progress }: Omit<Moment, 'globalStep'>,
  stepsPerEpoch: number,
): number {
  const { cos: cosine, schedule: milestones, epochs, warmupEpochs, scaleLr, batchSize } = config;
  const within = config.lrPerStep || epoch < warmupEpochs;
  const counted = within ? epoch + (step + (epoch < warmupEpochs ? 1 : 0)) / stepsPerEpoch : epoch;
  const at = isTimed(config) ? progress * epochs : counted;
  const base = scaleLr ? (config.lr * batchSize) / 256 : config.lr;
  return learningRate(base, { cosine, milestones, epochs, warmupEpochs }, at);
}

/**
 * The names of the feeds that are a batch's views as they are.
 * @returns none, where the method makes something of a view itself
 * @throws what the method's `feeds` throws
 */
export function viewNames(method: RunMethod, config: RunConfig): readonly string[] {
  const [zeros, others] = [0, 151].map((factor) => probe(method, config, factor)) as [Probe, Probe];
  const { names } = zeros;
  const isEach = names.every((name) => name !== undefined);
  return isEach && names.every((name, i) => name === others.names[i]) && sameFeeds(zeros.rest, others.rest)
    ? names
    : [];
}

interface Probe {
  /** The feed that each view is. */
  readonly names: readonly (string | undefined)[];
  /** All other feeds. */
  readonly rest: readonly (readonly [string, Tensor])[];
}

/** A method's feeds of a batch of bytes. @param factor 0 for views of zeros */
function probe(method: RunMethod, config: RunConfig, factor: number): Probe {
  const { batchSize, imageSize } = config;
  const views = viewsOf(config).map(() => {
    const view = new Uint8Array(batchSize * IMAGE_CHANNELS * imageSize ** 2);
    if (factor !== 0) for (let at = 0; at < view.length; at++) view[at] = at * factor;
    return view;
  });
  const batch = { indices: new Int32Array(batchSize), views, waitMs: 0 };
  const feeds = Object.entries(method.feeds(batch, { epoch: 0, step: 0, globalStep: 0, progress: 0 }));
  const names = views.map(
    (view) => feeds.find(([, { dtype, data }]) => dtype === 'uint8' && data === view)?.[0],
  );
  return { names, rest: feeds.filter(([name]) => !names.includes(name)) };
}

function sameFeeds(some: Probe['rest'], others: Probe['rest']): boolean {
  const known = new Map(others);
  return (
    some.length === others.length &&
    some.every(([name, { data }]) => {
      const other = known.get(name)?.data;
      return (
        data.length === other?.length &&
        Array.prototype.every.call(data, (value, i) => Object.is(value, other[i]))
      );
    })
  );
}
