/**
 * SEED (arXiv 2101.04731) on emoji, the whole training loop: TEACHER=checkpoint.safetensors node examples/methods/dist/distill.js
 *
 * A student learns the similarities that a trained network, the teacher, sees between an image and a queue of others. TEACHER is a
 * checkpoint of `moco pretrain emoji -a resnet-tiny --image-size 32`; without one the teacher is untrained, and teaches little.
 */
import { readFileSync } from 'node:fs';
import { ortPlugin } from '@moco-ts/backend-ort';
import {
  createExtractor,
  createTrainer,
  decodeSafetensors,
  distillState,
  distillStep,
  initEncoder,
  learningRate,
  type Params,
  sgd,
  tensor,
  under,
} from '@moco-ts/core';
import { createLoader, evaluateRetrieval, openDataset, retrievalTask, views } from '@moco-ts/data';
import { resnetMicro, resnetTiny } from '@moco-ts/encoders';

// STEPS of each epoch: fewer are a quick trial.
const { EPOCHS = 20, STEPS = Number.POSITIVE_INFINITY, TEACHER } = process.env;
const [epochs, seed, batch, size] = [Number(EPOCHS), 0, 64, 32];
const encoder = { encoder: resnetMicro, encoderConfig: { imageSize: size } };
const large = { encoder: resnetTiny, encoderConfig: { imageSize: size } };

const backend = await ortPlugin.create({ deterministic: true });
const train = await openDataset('emoji');
const test = await openDataset('emoji', { split: 'test' });

const trainedBefore = TEACHER && under('q', decodeSafetensors(readFileSync(TEACHER), TEACHER).tensors);
const weights = trainedBefore || initEncoder({ ...large, mlp: false, dim: 1 }, seed);
const teacher = await createExtractor(backend, large, weights, batch);
const distill = {
  ...{ ...encoder, batch, bnSplits: 1, mlp: true, dim: teacher.dim },
  queueSize: 1024,
  temperature: 0.2,
  teacherTemperature: 0.01,
  optimizer: sgd({ momentum: 0.9, weightDecay: 1e-4 }),
};

/** On emoji that are not trained on: how often the nearest image to an edited copy is its original. */
async function measure(params: Params): Promise<string> {
  const extractor = await createExtractor(backend, encoder, params, 64);
  const scores = await evaluateRetrieval([retrievalTask('edited-copies', test, { size })], extractor.extract);
  await extractor.dispose();
  return `${(100 * scores['edited-copies']!).toFixed(1)} %`;
}

const state = distillState(distill, seed);
const trainer = await createTrainer(backend, distillStep(distill, state), state);
const [view] = views['aug-plus']({ size });
const loader = createLoader(train, { size, batch, seed, workers: 1, views: [view] });
const steps = Math.min(loader.stepsPerEpoch, Number(STEPS));
const untrained = await measure(under('q', state));

for (let epoch = 0; epoch < epochs; epoch++) {
  const losses: number[] = [];
  for await (const { views: made } of loader.epoch(epoch)) {
    const rate = learningRate(0.03, { cosine: true, milestones: [], epochs }, epoch);
    const xq = tensor(made[0]!, [batch, 3, size, size]);
    const seen = tensor(await teacher.extract(made[0]!), [batch, teacher.dim]);
    const { loss } = await trainer.step({ xq, teacher: seen }, rate, epoch * steps + losses.length);
    losses.push(loss!.data[0]!);
    if (losses.length === steps) break;
  }
  const mean = losses.reduce((sum, loss) => sum + loss) / losses.length;
  console.log(`epoch ${epoch + 1}: loss ${losses[0]!.toFixed(4)} at first, ${mean.toFixed(4)} on average`);
}

const trained = await measure(under('q', await trainer.state()));
console.log(`edited copies, R@1: ${trained}, untrained ${untrained}`);
await loader.close();
