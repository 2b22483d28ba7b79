/** SEED (arXiv 2101.04731): the encoder, a student, learns the similarities that a teacher sees between images. */
import { checkDistill, type DistillConfig, distillState, distillStep, initEncoder } from '@moco-ts/core';
import { defineMethod, teacherFeed, viewFeed } from '../method.ts';
import { above } from '../rule.ts';
import { defaulted } from '../setting.ts';
import { teacherNames } from '../teacher-settings.ts';
import { contrastiveMetrics, plainHead, plainViews } from './contrastive.ts';

export const distillSettings = {
  /** `distill`: temperature of the teacher's similarities. Default 0.01. */
  teacherT: defaulted(above(0, 1000), {
    default: 0.01,
    group: 'Method',
    flags: '--teacher-t <x>',
    doc: "distill: temperature of the teacher's similarities (0.01)",
  }),
};

export const distill = defineMethod({
  name: 'distill',
  settings: distillSettings,
  uses: [...teacherNames, 'mocoK', 'mocoT', 'mlp', 'augPlus', 'accumulate'],
  // The paper's section 4.1.
  defaults: () => ({ mlp: true, mocoT: 0.2, augPlus: true, cos: true, bn: 'sync' }),
  views: (config) => plainViews(config).slice(0, 1),
  metrics: ({ mocoK }) => [
    ...contrastiveMetrics(`1 + ${mocoK} features of the teacher`),
    {
      title: 'Distance from the teacher',
      unit: 'nats',
      labels: { divergence: 'KL' },
      digits: 3,
      note: "The divergence of the student's similarities from the teacher's: what the loss can still lose.",
    },
  ],
  create: ({ config, images: _, ...pass }) => {
    const { seed, mocoK } = config;
    const distill: DistillConfig = {
      ...pass,
      ...plainHead(config),
      queueSize: mocoK,
      temperature: config.mocoT,
      teacherTemperature: config.teacherT,
    };
    return {
      params: () => initEncoder(distill, seed),
      state: () => {
        checkDistill(distill);
        return distillState(distill, seed);
      },
      step: (state) => distillStep(distill, state),
      feeds: (batch) => ({ xq: viewFeed(config, batch, 0), teacher: teacherFeed(config, batch) }),
      chance: { loss: Math.log(mocoK + 1), formula: 'log(K + 1)' },
    };
  },
  head: plainHead,
});
