/** How long a training step takes here. */
import { createTrainer, lowerGraph, rng } from '@moco-ts/core';
import type { Batch } from '@moco-ts/data';
import { createMethod, type RunConfig, viewsOf } from '@moco-ts/run';
import { openBackend } from './open-backend.ts';
import { registerPlugins } from './plugins.ts';

export interface Timed {
  readonly backend: string;
  readonly device: string;
  /** From opening the backend to the end of the first step: compiling is in it. */
  readonly secondsToFirstStep: number;
  /** Of each step behind the warm-up. */
  readonly secondsPerStep: readonly number[];
  /** Weights, keys, queue and optimizer, in bytes, as the backend holds them. */
  readonly stateBytes: number;
  /** The last loss: to see that something was computed. */
  readonly loss: number;
}

/** Number of images for a method with a slot for each (instdisc). */
const IMAGES = 4096;
/** The second step may still allocate. */
const WARM_UP = 1;

/**
 * Trains on noise that is made in advance: only the steps are timed, no decoding or views.
 * @param steps that are timed
 * @throws UserError for settings that can't work, BackendError for a backend that is not usable
 */
export async function timeSteps(config: RunConfig, backendName: string, steps: number): Promise<Timed> {
  const started = performance.now();
  const backend = await openBackend(backendName, {
    deterministic: true,
    ...(config.threads !== undefined && { threads: config.threads }),
  });
  try {
    const method = createMethod(config, IMAGES);
    const state = method.state();
    const trainer = await createTrainer(backend, method.step(state), state);
    try {
      const batch = noise(config);
      const seconds: number[] = [];
      let first = 0;
      let loss = Number.NaN;
      for (let step = 0; step < 1 + WARM_UP + steps; step++) {
        const feeds = method.feeds(batch, { epoch: 0, step, globalStep: step, progress: 0 });
        const asked = performance.now();
        const metrics = await trainer.step(feeds, config.lr, step);
        loss = metrics.loss!.data[0]!;
        if (step === 0) first = (performance.now() - started) / 1000;
        if (step > WARM_UP) seconds.push((performance.now() - asked) / 1000);
      }
      const { stateBytes } = trainer.memory;
      const { device } = backend;
      return {
        ...{ backend: backendName, device, stateBytes, loss },
        ...{ secondsToFirstStep: first, secondsPerStep: seconds },
      };
    } finally {
      await trainer.dispose();
    }
  } finally {
    await backend.dispose();
  }
}

/**
 * A training step as the text that a backend gives its engine; the same settings give the same one.
 * @throws UserError for settings that can't work, BackendError for a backend whose engine takes no text
 */
export async function stepText(config: RunConfig, backendName: string): Promise<string> {
  await registerPlugins();
  const method = createMethod(config, IMAGES);
  const { graph, state } = method.step(method.state());
  return lowerGraph(backendName, graph, { state });
}

function noise(config: RunConfig): Batch {
  const { batchSize, imageSize, seed } = config;
  const random = rng(seed, 'bench/pictures');
  const view = () => Float32Array.from({ length: batchSize * 3 * imageSize ** 2 }, random.normal);
  return {
    indices: Int32Array.from({ length: batchSize }, (_, i) => i % IMAGES),
    views: viewsOf(config).map(view),
    waitMs: 0,
  };
}
