/**
 * SimCLR (arXiv 2002.05709) on emoji, the whole training loop: node examples/methods/dist/simclr.js
 *
 * One encoder, trained through both views of each image. The negatives of a view are the other 2N - 2 views of its batch.
 */
import { ortPlugin } from '@moco-ts/backend-ort';
import {
  createExtractor,
  createTrainer,
  lars,
  learningRate,
  type Params,
  simclrState,
  simclrStep,
  tensor,
  under,
} from '@moco-ts/core';
import { createLoader, evaluateRetrieval, openDataset, retrievalTask, views } from '@moco-ts/data';
import { resnetMicro } from '@moco-ts/encoders';

// STEPS of each epoch: fewer are a quick trial.
const { EPOCHS = 20, STEPS = Number.POSITIVE_INFINITY } = process.env;
const [epochs, seed, batch, size] = [Number(EPOCHS), 0, 64, 32];
const encoder = { encoder: resnetMicro, encoderConfig: { imageSize: size } };
const simclr = {
  ...encoder,
  batch,
  bnSplits: 1,
  mlp: true,
  dim: 128,
  temperature: 0.1,
  optimizer: lars({ momentum: 0.9, weightDecay: 1e-6 }),
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

const state = simclrState(simclr, seed);
const trainer = await createTrainer(backend, simclrStep(simclr, state), state);
const loader = createLoader(train, { size, batch, seed, workers: 1, views: views['aug-plus']({ size }) });
const steps = Math.min(loader.stepsPerEpoch, Number(STEPS));
const untrained = await measure(under('q', state));

for (let epoch = 0; epoch < epochs; epoch++) {
  const losses: number[] = [];
  for await (const { views: pair } of loader.epoch(epoch)) {
    const now = epoch + losses.length / loader.stepsPerEpoch;
    const rate = learningRate((0.3 * batch) / 256, { cosine: true, milestones: [], epochs }, now);
    const [xq, xk] = pair.map((view) => tensor(view, [batch, 3, size, size]));
    const { loss } = await trainer.step({ xq: xq!, xk: xk! }, rate, epoch * steps + losses.length);
    losses.push(loss!.data[0]!);
    if (losses.length === steps) break;
  }
  const mean = losses.reduce((sum, loss) => sum + loss) / losses.length;
  console.log(`epoch ${epoch + 1}: loss ${losses[0]!.toFixed(4)} at first, ${mean.toFixed(4)} on average`);
}

const trained = await measure(under('q', await trainer.state()));
console.log(`edited copies, R@1: ${trained}, untrained ${untrained}`);
await loader.close();
