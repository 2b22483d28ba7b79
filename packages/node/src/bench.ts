/** How long a training step takes here. */
import {
  type Backend,
  createTrainer,
  inPrecision,
  lowerGraph,
  type Program,
  portType,
  rng,
  SettingError,
  say,
  settingRef,
  sizeOf,
  type Tensors,
} from '@moco-ts/core';
import { createMethod, methodOf, type RunConfig, type StepBatch, takes, viewsOf } from '@moco-ts/run';
import { openBackend } from './open-backend.ts';
import { registerPlugins } from './plugins.ts';
import { type RunStep, runStep } from './run-step.ts';

export interface Timed {
  readonly backend: string;
  readonly device: string;
  /** The step's graph, once. */
  readonly secondsToCompile: number;
  /** From opening the backend to the end of the first step: compiling is in it. */
  readonly secondsToFirstStep: number;
  /** Of each step behind the warm-up, its images given to it. */
  readonly secondsPerStep: readonly number[];
  /** The same with images that lie on the device already. */
  readonly secondsPerHeldStep?: readonly number[];
  /** Weights, keys, queue and optimizer, in bytes, as the backend holds them. */
  readonly stateBytes: number;
  /** The most that the device held, where it is counted. */
  readonly peakBytes?: number;
  /** The last loss: to see that something was computed. */
  readonly loss: number;
}

export interface TimingOptions {
  /** Steps between the first one and those that are timed; default 1, which may still allocate. */
  readonly warmUp?: number;
  /** Time steps with images that lie on the device, too. Default false. */
  readonly held?: boolean;
  /** Awaited before the device is opened, when all else is there. */
  readonly ready?: (() => Promise<void>) | undefined;
}

/** Number of images for a method with a slot for each (instdisc). */
const IMAGES = 4096;

/**
 * Trains on noise that is made in advance: only the steps are timed, no decoding or views.
 * @param steps that are timed
 * @throws UserError for settings that can't work, BackendError for a backend that is not usable
 */
export async function timeSteps(
  config: RunConfig,
  backendName: string,
  steps: number,
  { warmUp = 1, held = false, ready }: TimingOptions = {},
): Promise<Timed> {
  const { devices } = config;
  if (devices !== undefined)
    throw new SettingError(say`bench times one device: leave out ${settingRef('devices', devices)}`, {
      code: 'setting-conflict',
    });
  const method = createMethod(config, IMAGES);
  const state = method.state();
  const traced = method.step(state);
  await ready?.();
  const started = performance.now();
  const backend = await openBackend(backendName, {
    deterministic: true,
    ...(config.threads !== undefined && { threads: config.threads }),
  });
  try {
    const own = runStep(backend, method, config, traced, held);
    const batch = noise(config, own.bytes);
    const feedsOf = (step: number) => method.feeds(batch, { epoch: 0, step, globalStep: step, progress: 0 });
    const { step, views } = held ? holdingViews(own, feedsOf(0)) : { step: own.step, views: {} };
    const watched = watching(backend);
    const trainer = await createTrainer(
      watched,
      step,
      { ...state, ...views },
      { precision: config.precision },
    );
    try {
      let [count, loss, first] = [0, Number.NaN, 0];
      const timed = async (steps: number, before?: () => Promise<void>) => {
        const seconds: number[] = [];
        for (let i = 0; i < steps; i++, count++) {
          const feeds = feedsOf(count);
          for (const name of Object.keys(views)) delete feeds[name];
          const asked = performance.now();
          await before?.();
          const metrics = await trainer.step(feeds, config.lr, count);
          loss = metrics.loss!.data[0]!;
          seconds.push((performance.now() - asked) / 1000);
          first ||= (performance.now() - started) / 1000;
        }
        return seconds;
      };
      await timed(1 + warmUp);
      const secondsPerHeldStep = held ? await timed(steps) : undefined;
      const upload = async () => {
        for (let part = 0; part < (step.accumulate ?? 1); part++) await watched.program!.load(views);
      };
      const secondsPerStep = await timed(steps, held ? upload : undefined);
      const { stateBytes } = trainer.memory;
      const peakBytes = backend.memory?.()?.peak;
      return {
        ...{ backend: backendName, device: backend.device, stateBytes, loss, secondsPerStep },
        ...{ secondsToCompile: watched.seconds, secondsToFirstStep: first },
        ...(secondsPerHeldStep && { secondsPerHeldStep }),
        ...(peakBytes !== undefined && { peakBytes }),
      };
    } finally {
      await trainer.dispose();
    }
  } finally {
    await backend.dispose();
  }
}

/**
 * A training step as the text that a backend gives its engine; the same settings give the same one. Its images are normalised floats,
 * of which a step that is given bytes begins with looking them up.
 * @throws UserError for settings that can't work, BackendError for a backend whose engine takes no text
 */
export async function stepText(config: RunConfig, backendName: string): Promise<string> {
  await registerPlugins();
  const method = createMethod(config, IMAGES);
  const { graph, state } = method.step(method.state());
  const { precision } = config;
  return lowerGraph(backendName, ...inPrecision(graph, { state }, precision));
}

/** A backend that tells what it compiled, and in what time. */
function watching(backend: Backend) {
  const watched = {
    ...backend,
    program: undefined as Program | undefined,
    seconds: 0,
    compile: async (...args: Parameters<Backend['compile']>) => {
      const asked = performance.now();
      watched.program = await backend.compile(...args);
      watched.seconds = (performance.now() - asked) / 1000;
      return watched.program;
    },
  };
  return watched;
}

/** A step whose views are state that stays as it is: on the device between steps. @param feeds of a step */
function holdingViews({ step, views: names }: RunStep, feeds: Tensors) {
  const views = names.map((name) => {
    // Of one micro-batch, where the step accumulates gradients.
    const type = portType(step.graph, step.graph.inputs, name);
    return [name, { ...type, data: feeds[name]!.data.subarray(0, sizeOf(type.shape)) }] as const;
  });
  const slots = names.map((input) => ({ input }));
  return { step: { ...step, state: [...step.state, ...slots] }, views: Object.fromEntries(views) as Tensors };
}

/** Numbers that are drawn for noise; views repeat them from other places on. */
const DRAWN = 2 ** 20;

function noise(config: RunConfig, bytes: boolean): StepBatch {
  const { batchSize, imageSize, mocoDim, seed } = config;
  const random = rng(seed, 'bench/pictures');
  const drawn = bytes
    ? Uint8Array.from({ length: DRAWN }, () => random.integer(256))
    : Float32Array.from({ length: DRAWN }, random.normal);
  const view = () => {
    const length = batchSize * 3 * imageSize ** 2;
    const data = bytes ? new Uint8Array(length) : new Float32Array(length);
    for (let at = 0; at < data.length; ) {
      const part = drawn.subarray(Math.floor(random.uniform() * (DRAWN / 2)));
      data.set(part.subarray(0, data.length - at), at);
      at += part.length;
    }
    return data;
  };
  return {
    indices: Int32Array.from({ length: batchSize }, (_, i) => i % IMAGES),
    views: viewsOf(config).map(view),
    ...(takes(methodOf(config), 'teacher') && {
      teacher: Float32Array.from({ length: batchSize * mocoDim }, random.normal),
    }),
    waitMs: 0,
  };
}
