/**
 * InstDisc (arXiv 1805.01978) on emoji, the whole training loop: node examples/methods/dist/instdisc.js
 *
 * Each image is a class of its own. A memory bank holds the feature that each image last had: the positive of a view is its
 * image's slot, the noise are slots drawn at random. NCE fixes the sum Z of the softmax over all slots by the first batch.
 * The paper's bank is random at first, and of a million images fills slowly. Here 47 steps replace it by features that are all
 * alike, of which such a Z is 300 times too small: the loss grows. So the bank begins with the untrained encoder's features.
 */
import { ortPlugin } from '@moco-ts/backend-ort';
import {
  createExtractor,
  createTrainer,
  drawNegatives,
  instDiscState,
  instDiscStep,
  learningRate,
  sgd,
  tensor,
  under,
} from '@moco-ts/core';
import { createLoader, evaluateRetrieval, openDataset, retrievalTask, views } from '@moco-ts/data';
import { resnetMicro } from '@moco-ts/encoders';

// STEPS of each epoch: fewer are a quick trial.
const { EPOCHS = 20, STEPS = Number.POSITIVE_INFINITY } = process.env;
const [epochs, seed, batch, size, dim] = [Number(EPOCHS), 0, 64, 32, 128];
const encoder = { encoder: resnetMicro, encoderConfig: { imageSize: size } };
const head = { mlp: false, dim };

const backend = await ortPlugin.create({ deterministic: true });
const train = await openDataset('emoji');
const test = await openDataset('emoji', { split: 'test' });
const noise = { batch, slots: train.length, negatives: 1024, draw: 'image' } as const;
const optimizer = sgd({ momentum: 0.9, weightDecay: 1e-4 });
const loss = { loss: 'nce', temperature: 0.1, bankMomentum: 0.5, optimizer } as const;
const instdisc = { ...encoder, ...head, ...noise, ...loss, bnSplits: 1 };
const state = instDiscState(instdisc, seed);
const loader = createLoader(train, { size, batch, seed, workers: 1, views: [views.v1({ size })[0]] });

const untrained = await createExtractor(backend, { ...encoder, head }, under('q', state), batch);
for await (const { views: one, indices } of loader.epoch(epochs)) {
  const features = await untrained.extract(one[0]!);
  for (const [i, slot] of indices.entries())
    (state.bank!.data as Float32Array).set(features.subarray(i * dim, (i + 1) * dim), slot * dim);
}
await untrained.dispose();

/** On emoji that are not trained on: how often the nearest image to an edited copy is its original. */
async function measure(params: typeof state): Promise<string> {
  const extractor = await createExtractor(backend, encoder, under('q', params), 64);
  const scores = await evaluateRetrieval([retrievalTask('edited-copies', test, { size })], extractor.extract);
  return `${(100 * scores['edited-copies']!).toFixed(1)} %`;
}

const trainer = await createTrainer(backend, instDiscStep(instdisc, state), state);
const before = await measure(state);
const steps = Math.min(loader.stepsPerEpoch, Number(STEPS));
for (let epoch = 0; epoch < epochs; epoch++) {
  const rate = learningRate(0.03, { cosine: false, milestones: [12, 16], epochs }, epoch);
  const losses: number[] = [];
  for await (const { views: one, indices } of loader.epoch(epoch)) {
    const step = epoch * steps + losses.length;
    const xq = tensor(one[0]!, [batch, 3, size, size]);
    const index = tensor(indices, [batch], 'int32');
    const negatives = drawNegatives(instdisc, seed, step);
    const { loss } = await trainer.step({ xq, index, negatives }, rate, step);
    losses.push(loss!.data[0]!);
    if (losses.length === steps) break;
  }
  const mean = losses.reduce((sum, loss) => sum + loss) / losses.length;
  console.log(`epoch ${epoch + 1}: loss ${losses[0]!.toFixed(4)} at first, ${mean.toFixed(4)} on average`);
}

const trained = await measure(await trainer.state());
console.log(`edited copies, R@1: ${trained}, untrained ${before}`);
await loader.close();
