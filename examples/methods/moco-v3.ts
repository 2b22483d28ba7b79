/**
 * MoCo v3 (arXiv 2104.02057) on emoji, the whole training loop: node examples/methods/dist/moco-v3.js
 *
 * No queue: the negatives of a query are the keys of the other images of its batch, in both directions. Queries pass a
 * predictor that keys don't. The momentum of the key encoder rises to 1 by a cosine.
 */
import { ortPlugin } from '@moco-ts/backend-ort';
import {
  adamw,
  createExtractor,
  createTrainer,
  learningRate,
  mocoV3Heads,
  mocoV3State,
  mocoV3Step,
  type Params,
  risingMomentum,
  scalar,
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
  ...mocoV3Heads.resnet,
  batch,
  bnSplits: 1,
  hidden: 256,
  dim: 64,
  temperature: 0.2,
  optimizer: adamw({ weightDecay: 1e-4 }),
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

const state = mocoV3State(moco, seed);
const trainer = await createTrainer(backend, mocoV3Step(moco, state), state);
const loader = createLoader(train, { size, batch, seed, workers: 1, views: views.v3({ size }) });
const steps = Math.min(loader.stepsPerEpoch, Number(STEPS));
const untrained = await measure(under('q', state));

for (let epoch = 0; epoch < epochs; epoch++) {
  const losses: number[] = [];
  for await (const { views: pair } of loader.epoch(epoch)) {
    const now = epoch + losses.length / loader.stepsPerEpoch;
    const rate = learningRate(1e-3, { cosine: true, milestones: [], epochs }, now);
    const [xq, xk] = pair.map((view) => tensor(view, [batch, 3, size, size]));
    const feeds = { xq: xq!, xk: xk!, momentum: scalar(risingMomentum(0.99, now / epochs)) };
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
