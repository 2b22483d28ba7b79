/**
 * MoCo v2 (arXiv 2003.04297) on emoji, the whole training loop: node examples/methods/dist/moco-v2.js
 *
 * The step is that of v1: keys by a moving average of the query encoder, negatives from a queue. What is new: a head of two
 * layers, blur among the augmentations, a higher temperature, and a learning rate that falls by a cosine.
 */
import { ortPlugin } from '@moco-ts/backend-ort';
import {
  createExtractor,
  createTrainer,
  learningRate,
  mocoState,
  mocoStep,
  type Params,
  rng,
  sgd,
  tensor,
  under,
} from '@moco-ts/core';
import { createLoader, evaluateRetrieval, openDataset, retrievalTask, views } from '@moco-ts/data';
import { resnetMicro } from '@moco-ts/encoders';

// STEPS of each epoch: fewer are a quick trial.
const { EPOCHS = 20, STEPS = Number.POSITIVE_INFINITY } = process.env;
const [epochs, seed, batch, size] = [Number(EPOCHS), 0, 64, 32];
const encoder = { encoder: resnetMicro, encoderConfig: { imageSize: size } };
const moco = {
  ...encoder,
  batch,
  // ShuffleBN: batch normalisation in 8 groups, between which keys are shuffled, so that statistics betray no positive.
  bnSplits: 8,
  shuffle: true,
  symmetric: false,
  mlp: true,
  dim: 128,
  queueSize: 1024,
  momentum: 0.99,
  temperature: 0.2,
  optimizer: sgd({ momentum: 0.9, weightDecay: 1e-4 }),
};

const backend = await ortPlugin.create({ deterministic: true });
const train = await openDataset('emoji');
const test = await openDataset('emoji', { split: 'test' });

/** On emoji that are not trained on: how often the nearest image to an edited copy is its original. */
async function measure(params: Params): Promise<string> {
  const extractor = await createExtractor(backend, encoder, params, 64);
  const scores = await evaluateRetrieval([retrievalTask('edited-copies', test, { size })], extractor.extract);
  await extractor.dispose();
  return `${(100 * scores['edited-copies']!).toFixed(1)} %`;
}

const state = mocoState(moco, seed);
const trainer = await createTrainer(backend, mocoStep(moco, state), state);
const loader = createLoader(train, { size, batch, seed, workers: 1, views: views['aug-plus']({ size }) });
const steps = Math.min(loader.stepsPerEpoch, Number(STEPS));
const untrained = await measure(under('q', state));

for (let epoch = 0; epoch < epochs; epoch++) {
  const rate = learningRate(0.03, { cosine: true, milestones: [], epochs }, epoch);
  const losses: number[] = [];
  for await (const { views: pair } of loader.epoch(epoch)) {
    const [xq, xk] = pair.map((view) => tensor(view, [batch, 3, size, size]));
    const perm = rng(seed, 'shuffle-bn', epoch, losses.length).permutation(batch);
    const feeds = { xq: xq!, xk: xk!, perm: tensor(perm, [batch], 'int32') };
    const { loss } = await trainer.step(feeds, rate, epoch * steps + losses.length);
    losses.push(loss!.data[0]!);
    if (losses.length === steps) break;
  }
  const mean = losses.reduce((sum, loss) => sum + loss) / losses.length;
  console.log(`epoch ${epoch + 1}: loss ${losses[0]!.toFixed(4)} at first, ${mean.toFixed(4)} on average`);
}

const trained = await measure(under('q', await trainer.state()));
console.log(`edited copies, R@1: ${trained}, untrained ${untrained}`);
await loader.close();
