/** SimCLR (arXiv 2002.05709): one encoder, trained end to end through both views. */
import { initEncoder, type SimclrConfig, simclrState, simclrStep } from '@moco-ts/core';
import { defineMethod, viewFeeds } from '../method.ts';
import { commonDefaults } from '../settings.ts';
import { contrastiveMetrics, plainHead, plainViews } from './contrastive.ts';

export const simclr = defineMethod({
  name: 'simclr',
  uses: ['mocoT', 'mlp', 'augPlus'],
  defaults: (_, { epochs = commonDefaults.epochs }) => ({
    mlp: true,
    // T .1 and LARS: the paper's appendix B.
    mocoT: 0.1,
    augPlus: true,
    bn: 'sync',
    optimizer: 'lars',
    cos: true,
    lrPerStep: true,
    scaleLr: true,
    warmupEpochs: Math.min(10, Math.floor(0.1 * epochs)),
  }),
  views: plainViews,
  metrics: () => contrastiveMetrics('the batch'),
  create: ({ config, images: _, ...pass }) => {
    const { seed, batchSize } = config;
    const simclr: SimclrConfig = { ...pass, ...plainHead(config), temperature: config.mocoT };
    return {
      params: () => initEncoder(simclr, seed),
      state: () => simclrState(simclr, seed),
      step: (state) => simclrStep(simclr, state),
      feeds: (batch) => viewFeeds(config, batch),
      chance: { loss: Math.log(2 * batchSize - 1), formula: 'log(2N - 1)' },
    };
  },
  head: plainHead,
});
