/** A run's method as the training loop needs it: a state, a step, and what to feed the step. */
import {
  checkInstDisc,
  checkMoco,
  drawNegatives,
  type Encoder,
  type InstDiscConfig,
  initEncoder,
  initEncoderV3,
  instDiscState,
  instDiscStep,
  type MocoConfig,
  type MocoV3Config,
  mocoState,
  mocoStep,
  mocoV3Heads,
  mocoV3State,
  mocoV3Step,
  type Params,
  risingMomentum,
  rng,
  type SimclrConfig,
  scalar,
  simclrState,
  simclrStep,
  type Tensor,
  type TrainingStep,
  traitsOf,
} from '@moco-ts/core';
import type { Batch } from '@moco-ts/data/portable';
import { splitsOf } from './config.ts';
import { encoderOf, optimizerOf } from './model.ts';
import type { RunConfig } from './settings.ts';

/** When a step is taken. */
export interface Moment {
  readonly epoch: number;
  /** Of the epoch. */
  readonly step: number;
  /** Of the run. */
  readonly globalStep: number;
  /** The share of training that is done, in [0, 1). */
  readonly progress: number;
}

export interface RunMethod {
  /** The state before the first step. */
  state(): Record<string, Tensor>;
  step(state: Readonly<Record<string, Tensor>>): TrainingStep;
  feeds(batch: Batch, at: Moment): Record<string, Tensor>;
  /** The loss of guessing, with its formula; undefined where it depends on the data. */
  readonly chance?: { readonly loss: number; readonly formula: string };
}

/**
 * @param images of the data set
 * @param own the encoder, where it is not the one that has its name
 * @throws UserError for an unknown arch, and for settings that don't fit each other
 */
export function createMethod(config: RunConfig, images: number, own?: Encoder): RunMethod {
  switch (config.method) {
    case 'moco-v1':
    case 'moco-v2':
      return queueMethod(config, own);
    case 'moco-v3':
      return v3Method(config, own);
    case 'simclr':
      return simclrMethod(config, own);
    case 'instdisc':
      return bankMethod(config, images, own);
  }
}

/** The query encoder with its head as a run begins it. */
export function initialParams(config: RunConfig): Params {
  const { seed } = config;
  return config.method === 'moco-v3'
    ? initEncoderV3(v3Config(config), seed)
    : initEncoder({ ...encoderOf(config), ...headOf(config) }, seed);
}

const headOf = ({ mlp, mocoDim: dim }: RunConfig) => ({ mlp, dim });

function common(config: RunConfig, own?: Encoder) {
  return {
    ...encoderOf(config, own),
    batch: config.batchSize,
    bnSplits: splitsOf(config),
    temperature: config.mocoT,
    optimizer: optimizerOf(config),
  };
}

function queueMethod(config: RunConfig, own?: Encoder): RunMethod {
  const { seed, batchSize, symmetric, mocoK } = config;
  const moco: MocoConfig = {
    ...common(config, own),
    ...headOf(config),
    queueSize: mocoK,
    momentum: config.mocoM,
    shuffle: config.bn === 'shuffle',
    symmetric,
  };
  checkMoco(moco);
  return {
    state: () => mocoState(moco, seed),
    step: (state) => mocoStep(moco, state),
    feeds: (batch, { epoch, step }) => {
      const feeds = twoViews(config, batch);
      if (!moco.shuffle) return feeds;
      const data = rng(seed, 'shuffle-bn', epoch, step).permutation(batchSize);
      // No spread: see createTrainer.
      return Object.assign(feeds, { perm: { shape: [batchSize], dtype: 'int32', data } });
    },
    chance: {
      loss: Math.log(mocoK + 1) * (symmetric ? 2 : 1),
      formula: `${symmetric ? '2 ' : ''}log(K + 1)`,
    },
  };
}

function v3Config(config: RunConfig, own?: Encoder): MocoV3Config {
  const shared = common(config, own);
  return {
    ...shared,
    ...mocoV3Heads[traitsOf(shared.encoder).family],
    hidden: config.mocoMlpDim,
    dim: config.mocoDim,
  };
}

function v3Method(config: RunConfig, own?: Encoder): RunMethod {
  const { seed, mocoM, mocoT, batchSize } = config;
  const v3 = v3Config(config, own);
  return {
    state: () => mocoV3State(v3, seed),
    step: (state) => mocoV3Step(v3, state),
    feeds: (batch, { progress }) =>
      Object.assign(twoViews(config, batch), {
        momentum: scalar(config.mocoMCos ? risingMomentum(mocoM, progress) : mocoM),
      }),
    chance: { loss: 4 * mocoT * Math.log(batchSize), formula: '4 T log(N)' },
  };
}

function simclrMethod(config: RunConfig, own?: Encoder): RunMethod {
  const { seed, batchSize } = config;
  const simclr: SimclrConfig = { ...common(config, own), ...headOf(config) };
  return {
    state: () => simclrState(simclr, seed),
    step: (state) => simclrStep(simclr, state),
    feeds: (batch) => twoViews(config, batch),
    chance: { loss: Math.log(2 * batchSize - 1), formula: 'log(2N - 1)' },
  };
}

function bankMethod(config: RunConfig, images: number, own?: Encoder): RunMethod {
  const { seed, batchSize, mocoK, loss } = config;
  const bank: InstDiscConfig = {
    ...common(config, own),
    ...headOf(config),
    slots: images,
    negatives: mocoK,
    draw: config.bankDraw,
    loss,
    bankMomentum: config.bankMomentum,
    proximal: config.proximal,
  };
  checkInstDisc(bank);
  return {
    state: () => instDiscState(bank, seed),
    step: (state) => instDiscStep(bank, state),
    feeds: (batch, { globalStep }) => ({
      xq: view(config, batch, 0),
      index: { shape: [batchSize], dtype: 'int32', data: Int32Array.from(batch.indices) },
      negatives: drawNegatives(bank, seed, globalStep),
    }),
    ...(loss === 'infonce' && { chance: { loss: Math.log(mocoK + 1), formula: 'log(K + 1)' } }),
  };
}

function twoViews(config: RunConfig, batch: Batch): Record<'xq' | 'xk', Tensor> {
  return { xq: view(config, batch, 0), xk: view(config, batch, 1) };
}

function view({ batchSize, imageSize }: RunConfig, batch: Batch, which: 0 | 1): Tensor {
  return { shape: [batchSize, 3, imageSize, imageSize], dtype: 'float32', data: batch.views[which]! };
}
