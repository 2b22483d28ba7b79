/** From a run's configuration to core's. */
import {
  createOptimizer,
  type EncoderConfig,
  encoderNamed,
  learningRate,
  type MocoConfig,
  type ModelConfig,
} from '@moco-ts/core';
import { type RunConfig, splitsOf } from './config.ts';

function encoderConfig({ imageSize, stem }: RunConfig): EncoderConfig {
  return { imageSize, ...(stem && { stem }) };
}

/** @throws UserError for an unknown arch */
export function mocoConfig(config: RunConfig): MocoConfig {
  return {
    encoder: encoderNamed(config.arch),
    encoderConfig: encoderConfig(config),
    mlp: config.mlp,
    dim: config.mocoDim,
    batch: config.batchSize,
    queueSize: config.mocoK,
    momentum: config.mocoM,
    temperature: config.mocoT,
    bnSplits: splitsOf(config),
    shuffle: config.bn === 'shuffle',
    symmetric: config.symmetric,
    optimizer: createOptimizer({
      name: config.optimizer,
      weightDecay: config.wd,
      ...(config.optimizer === 'sgd' && { momentum: config.momentum }),
    }),
  };
}

/** The query encoder for inference, without or with its head. */
export function modelConfig(config: RunConfig, withHead = false): ModelConfig {
  return {
    encoder: encoderNamed(config.arch),
    encoderConfig: encoderConfig(config),
    ...(withHead && { head: { mlp: config.mlp, dim: config.mocoDim } }),
  };
}

/**
 * The rate of one step. As in the official v1 and v2 it changes at epochs; within them only in a warm-up, whose first
 * epoch would have the rate 0, and with `--lr-per-step`.
 */
export function rateAt(config: RunConfig, epoch: number, step: number, stepsPerEpoch: number): number {
  const { cos: cosine, schedule: milestones, epochs, warmupEpochs } = config;
  const within = config.lrPerStep || epoch < warmupEpochs;
  const at = within ? epoch + (step + (epoch < warmupEpochs ? 1 : 0)) / stepsPerEpoch : epoch;
  return learningRate(config.lr, { cosine, milestones, epochs, warmupEpochs }, at);
}
