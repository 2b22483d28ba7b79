/** MoCo v3 (arXiv 2104.02057): a momentum encoder and a predictor; the negatives are the rest of the batch. */
import {
  initEncoderV3,
  type MocoV3Config,
  mocoV3Heads,
  mocoV3Projection,
  mocoV3State,
  mocoV3Step,
  risingMomentum,
  scalar,
  traitsOf,
} from '@moco-ts/core';
import { views } from '@moco-ts/data/portable';
import { defineMethod, viewFeeds } from '../method.ts';
import { contrastiveMetrics } from './contrastive.ts';

export const mocoV3 = defineMethod({
  name: 'moco-v3',
  uses: ['mocoM', 'mocoMCos', 'mocoT', 'mocoMlpDim'],
  defaults: ({ family }, named) => {
    const vit = family === 'vit';
    const { optimizer = vit ? 'adamw' : 'lars', epochs = 300 } = named;
    return {
      mocoT: vit ? 0.2 : 1,
      mocoDim: 256,
      mocoM: 0.99,
      mocoMCos: true,
      cropMin: 0.08,
      bn: 'sync',
      optimizer,
      epochs,
      cos: true,
      lrPerStep: true,
      scaleLr: true,
      ...(optimizer === 'adamw' && { lr: 1.5e-4, wd: 0.1 }),
      // 40 of 100 or 300 epochs for ViTs, 10 for ResNets; short runs warm up for as large a share.
      warmupEpochs: vit ? Math.min(40, Math.floor(0.4 * epochs)) : Math.min(10, Math.floor(0.1 * epochs)),
    };
  },
  views: ({ imageSize: size, cropMin }) => views.v3({ size, cropMin }),
  metrics: () => contrastiveMetrics('the batch'),
  create: ({ config, images: _, ...pass }) => {
    const { seed, mocoM, mocoT, batchSize } = config;
    const v3: MocoV3Config = {
      ...pass,
      ...mocoV3Heads[traitsOf(pass.encoder).family],
      temperature: mocoT,
      hidden: config.mocoMlpDim,
      dim: config.mocoDim,
    };
    return {
      params: () => initEncoderV3(v3, seed),
      state: () => mocoV3State(v3, seed),
      step: (state) => mocoV3Step(v3, state),
      feeds: (batch, { progress }) =>
        Object.assign(viewFeeds(config, batch), {
          momentum: scalar(config.mocoMCos ? risingMomentum(mocoM, progress) : mocoM),
        }),
      chance: { loss: 4 * mocoT * Math.log(batchSize), formula: '4 T log(N)' },
    };
  },
  head: ({ mocoMlpDim: hidden, mocoDim: dim }, { encoder, encoderConfig }) =>
    mocoV3Projection(traitsOf(encoder).family, encoder.featureDim(encoderConfig), { hidden, dim }),
  naming: 'momentum',
});
