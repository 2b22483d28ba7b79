/** What the planner measures of a machine: where to compute, and how long steps and views take there. */
import { availableParallelism } from 'node:os';
import { computesIn, type Precision } from '@moco-ts/core';
import { createLoader, createPool, type ImageDataset, type Pixels } from '@moco-ts/data';
import { traitsNamed } from '@moco-ts/encoders';
import { type RunConfig, type RunFlags, viewsOf } from '@moco-ts/run';
import { chooseBackend } from '../backends.ts';
import { timeSteps } from '../bench.ts';
import { withOpened } from '../opened.ts';
import { knownDevices } from '../plugins.ts';
import { stepWithViews } from './budget.ts';
import { median } from './facts.ts';

/** Where a run computes. */
export interface Place {
  readonly backend: string;
  readonly gpu: boolean;
  /** Why, for people. */
  readonly reason: string;
  /** Precisions beside fp32. */
  readonly precisions: readonly Precision[];
}

/** The backend that is asked for, else a GPU's where one is quicker than the processor, by one layer with its gradients. */
export async function choosePlace({ backend, arch = 'resnet18', precision }: RunFlags): Promise<Place> {
  const devices = await knownDevices();
  const placeOf = (name: string, reason: string): Place => {
    const device = devices.find((one) => one.name === name);
    const precisions = (['bf16'] as const).filter((one) => device && computesIn(device, one));
    return { backend: name, gpu: device?.gpu ?? false, reason, precisions };
  };
  if (backend !== undefined && backend !== 'auto') return placeOf(backend, 'asked for');
  const { family } = traitsNamed(arch);
  // Other backends of the processor are no quicker than ONNX Runtime, and take seconds to try.
  const tried = backend === 'auto' ? devices : devices.filter(({ name, gpu }) => gpu || name === 'ort');
  const { name, reason } = await chooseBackend({ family, ...(precision && { precision }) }, tried);
  return placeOf(name, reason);
}

const STEPS = 3;

/** Seconds of a step on noise, the median of some. */
export async function stepSeconds(config: RunConfig): Promise<number> {
  const { secondsPerStep } = await timeSteps(config, config.backend, STEPS);
  return median(secondsPerStep);
}

const BATCHES = 4;
/** Milliseconds: on a busy machine the workers, which give way to all others, may take minutes. */
const PATIENCE = 5000;

/** Seconds from one batch of views to the next, made by the run's workers; 0 where a pass has too few to tell. */
export async function viewSeconds(config: RunConfig, dataset: ImageDataset): Promise<number> {
  const { batchSize: batch, imageSize: size, mean, std, seed, workers, maxBad } = config;
  return withOpened(async (keep) => {
    const pool = keep(createPool(workers, { isolate: config.isolate ?? false }));
    const loader = keep(
      createLoader<Pixels>(dataset, {
        ...{ batch, size, mean, std, seed, workers, pool, views: viewsOf(config) },
        ...(maxBad !== undefined && { maxBad }),
        onSkip: () => undefined,
      }),
    );
    // Workers start, and the first batches of each come at once.
    const ahead = 1 + 2 * workers;
    const asked = performance.now();
    let [count, from] = [0, 0];
    for await (const _ of loader.epoch(0)) {
      const now = performance.now();
      if (++count === ahead) from = now;
      const timed = count - ahead;
      if (timed === BATCHES) return (now - from) / 1000 / timed;
      if (now - asked > PATIENCE) return (now - asked) / 1000 / count;
    }
    return 0;
  });
}

/** Seconds from one step of a run to the next. */
export const runStepSeconds = (step: number, views: number, { gpu }: Place, { workers }: RunConfig): number =>
  stepWithViews(step, views, gpu ? undefined : { workers, cores: availableParallelism() });
