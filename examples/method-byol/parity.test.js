/** Twenty steps of BYOL and SimSiam against PyTorch with lightly's heads, losses, EMA update and LARS: parity/lightly_methods.py. */
import { readFileSync } from 'node:fs';
import { createOptimizer, createTrainer } from '@moco-ts/core';
import { defineResnet } from '@moco-ts/encoders';
import { expect, it } from 'vitest';
import { views } from '../../packages/backend-ort/src/parity-testing.ts';
import { ortPlugin } from '../../packages/backend-ort/src/plugin.ts';
import { simsiam } from '../method-simsiam/index.ts';
import { byol } from './index.ts';

const file = new URL('../../parity/fixtures/lightly.json', import.meta.url);
const { seed, viewSeed, steps, batch, cases } = JSON.parse(readFileSync(file, 'utf8'));

it.each([
  [byol, { name: 'lars', trustCoefficient: 0.001 }],
  [simsiam, { name: 'sgd' }],
])('$name has the losses of lightly', async (method, optimizer) => {
  const { spec, losses, drift } = cases[method.name];
  const { size, width } = spec.net;
  const config = {
    ...{ seed, batchSize: batch, imageSize: size, mocoDim: spec.dim, mocoM: spec.momentum, mocoMCos: true },
    ...{ byolHidden: spec.hidden, mocoMlpDim: spec.hidden, bottleneck: spec.bottleneck },
    ...{ lr: spec.lr, scaleLr: false, fixPredictorLr: true },
  };
  const run = method.create({
    encoder: defineResnet({ name: 'tiny', block: 'basic', depths: [1, 1, 1, 1], width, stem: 'small' }),
    encoderConfig: { imageSize: size },
    ...{ config, batch, bnSplits: 1, images: batch },
    optimizer: createOptimizer({ ...optimizer, momentum: 0.9, weightDecay: spec.wd }),
  });
  const state = run.state();
  const backend = await ortPlugin.create({ threads: 1 });
  const trainer = await createTrainer(backend, run.step(state), state);
  for (let step = 0; step < steps; step++) {
    const progress = step / steps;
    const pair = views(viewSeed, step, batch, size).map(({ data }) => data);
    const feeds = run.feeds(
      { views: pair, indices: new Int32Array(batch) },
      { epoch: 0, step, globalStep: step, progress },
    );
    // Of SimSiam's encoder the rate falls by half a cosine, while that of the predictor stays.
    const fallen = method === simsiam ? (1 + Math.cos(Math.PI * progress)) / 2 : 1;
    const { loss } = await trainer.step(feeds, spec.lr * fallen, step);
    const error = Math.abs(loss.data[0] - losses[step]) / Math.max(1, Math.abs(losses[step]));
    // float32 at the first step; later PyTorch's own parts from its float64 too. A predictor whose rate fell would be off by 7e-4.
    expect(error, `step ${step}`).toBeLessThan(step === 0 ? 1e-5 : Math.max(1e-4, 3 * Math.max(...drift)));
  }
  await trainer.dispose();
  await backend.dispose();
});
