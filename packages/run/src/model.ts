/** From a run's configuration to core's. */
import {
  counted,
  createOptimizer,
  type Encoder,
  type EncoderConfig,
  encoderNamed,
  encoderNames,
  learningRate,
  type ModelConfig,
  type ModelHead,
  mocoV3Projection,
  type Optimizer,
  printable,
  SettingError,
  say,
  settingRef,
  traitsOf,
} from '@moco-ts/core';
import type { RunConfig } from './settings.ts';

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
  if (!own && plugin && !encoderNames().includes(arch))
    throw new SettingError(
      say`the run's arch "${arch}" came with a plugin, which only you can name, if you trust it: ${settingRef('plugin', 'PACKAGE_OR_FILE')} (recorded: ${printable(JSON.stringify(plugin))})`,
      { setting: 'arch', value: arch },
    );
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

export function optimizerOf({ optimizer: name, wd: weightDecay, momentum }: RunConfig): Optimizer {
  return createOptimizer({ name, weightDecay, ...(name !== 'adamw' && { momentum }) });
}

/** The query encoder for inference, without or with its head (of `moco-v3`: its projector). */
export function modelConfig(config: RunConfig, withHead = false, own?: Encoder): ModelConfig {
  const encoder = encoderOf(config, own);
  return { ...encoder, ...(withHead && { head: headOf(config, encoder) }) };
}

function headOf(config: RunConfig, { encoder, encoderConfig }: ReturnType<typeof encoderOf>): ModelHead {
  const { method, mlp, mocoDim: dim, mocoMlpDim: hidden } = config;
  if (method !== 'moco-v3') return { mlp, dim };
  return mocoV3Projection(traitsOf(encoder).family, encoder.featureDim(encoderConfig), { hidden, dim });
}

/**
 * The rate of one step. As in the official v1 and v2 it changes at epochs; within them only in a warm-up, whose first
 * epoch would have the rate 0, and with `--lr-per-step`.
 */
export function rateAt(config: RunConfig, epoch: number, step: number, stepsPerEpoch: number): number {
  const { cos: cosine, schedule: milestones, epochs, warmupEpochs, scaleLr, batchSize } = config;
  const within = config.lrPerStep || epoch < warmupEpochs;
  const at = within ? epoch + (step + (epoch < warmupEpochs ? 1 : 0)) / stepsPerEpoch : epoch;
  const base = scaleLr ? (config.lr * batchSize) / 256 : config.lr;
  return learningRate(base, { cosine, milestones, epochs, warmupEpochs }, at);
}
