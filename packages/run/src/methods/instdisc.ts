/** Instance discrimination (arXiv 1805.01978): the dictionary is a memory bank with a slot for each image. */
import {
  checkInstDisc,
  drawNegatives,
  type InstDiscConfig,
  initEncoder,
  instDiscState,
  instDiscStep,
  say,
  settingRef,
} from '@moco-ts/core';
import { defineMethod, viewFeed } from '../method.ts';
import { largestFloat, name, number } from '../rule.ts';
import { defaulted } from '../setting.ts';
import { contrastiveMetrics, plainHead, plainViews } from './contrastive.ts';

export const instDiscSettings = {
  /** The loss; `nce` is the default of `instdisc`, and its alone. */
  loss: defaulted(name(['infonce', 'nce']), {
    default: 'infonce',
    group: 'Method',
    flags: '--loss <name>',
    doc: 'instdisc: nce or infonce (nce)',
    optIn: {
      value: 'nce',
      refusal: (method, takers) =>
        say`${settingRef('loss', 'nce')} belongs to ${takers.join(', ')}; ${method} has infonce`,
    },
    bound: true,
  }),
  /** `instdisc`: share of a slot's old value in its new one, in [0, 1]. Default 0.5. */
  bankMomentum: defaulted(number(0, 1), {
    default: 0.5,
    group: 'Method',
    flags: '--bank-momentum <x>',
    doc: "instdisc: share of a slot's old value in its new one (0.5)",
  }),
  /** `instdisc`: noise samples for each image, or one draw for the batch. Default `image`. */
  bankDraw: defaulted(name(['image', 'batch'], { picture: 'image' }), {
    default: 'image',
    group: 'Method',
    flags: '--bank-draw <kind>',
    doc: 'instdisc: noise samples for each image, or for the batch (image)',
  }),
  /** `instdisc`: weight of the proximal term. Default 0. */
  proximal: defaulted(number(0, largestFloat), {
    default: 0,
    group: 'Method',
    flags: '--proximal <x>',
    doc: 'instdisc: weight of the proximal term (0)',
  }),
};

/**
 * Steps of an epoch below which NCE is doubtful. The authors train on CIFAR-10, with 390. With 47, on emoji, the bank is
 * full of features that are alike before they spread: exp(v_j.v / T) is 300 times what Z says, and the loss grows.
 */
const ENOUGH_STEPS = 390;

export const instDisc = defineMethod({
  name: 'instdisc',
  settings: instDiscSettings,
  uses: ['mocoK', 'mocoT', 'mlp', 'augPlus', 'accumulate'],
  defaults: () => ({ loss: 'nce' as const, mocoK: 4096, bn: 'sync' }),
  views: (config) => plainViews(config).slice(0, 1),
  metrics: ({ mocoK }) => contrastiveMetrics(`1 + ${mocoK} classes`),
  remarks: ({ loss, batchSize }, images) => {
    const steps = Math.floor(images / batchSize);
    if (loss !== 'nce' || steps >= ENOUGH_STEPS) return [];
    return [
      {
        kind: 'note',
        text: `Note: nce estimates its normalisation from the first batch and a random bank, which an epoch of ${steps} steps soon replaces by features: on so few images the loss may only grow. The loss infonce does without.`,
      },
    ];
  },
  create: ({ config, images, ...pass }) => {
    const { seed, mocoK, loss } = config;
    const bank: InstDiscConfig = {
      ...pass,
      ...plainHead(config),
      temperature: config.mocoT,
      slots: images,
      negatives: mocoK,
      draw: config.bankDraw,
      loss,
      bankMomentum: config.bankMomentum,
      proximal: config.proximal,
    };
    return {
      params: () => initEncoder(bank, seed),
      state: () => {
        checkInstDisc(bank);
        return instDiscState(bank, seed);
      },
      step: (state) => instDiscStep(bank, state),
      feeds: (batch, { globalStep }) => ({
        xq: viewFeed(config, batch, 0),
        index: { shape: [batch.indices.length], dtype: 'int32', data: Int32Array.from(batch.indices) },
        negatives: drawNegatives(bank, seed, globalStep),
      }),
      ...(loss === 'infonce' && { chance: { loss: Math.log(mocoK + 1), formula: 'log(K + 1)' } }),
    };
  },
  head: plainHead,
});
