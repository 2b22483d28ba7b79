/** The checkpoints of a running training; one counts as good only if the next step after it is finite. */
import { basename, dirname, join } from 'node:path';
import type { FeatureExtractor } from '@moco-ts/core';
import {
  allFinite,
  type Backend,
  createExtractor,
  DivergedError,
  type Encoder,
  say,
  settingRef,
  type Tensor,
  under,
} from '@moco-ts/core';
import {
  type CheckpointInfo,
  checkpointName,
  modelConfig,
  type Position,
  type RunConfig,
} from '@moco-ts/run';
import { listCheckpoints, removeOld, saveCheckpoint, setDivergedAside } from './checkpoint.ts';
import { faultOf } from './finite.ts';
import type { Lock } from './lock.ts';
import type { RunLog } from './log.ts';
import { FailedElsewhere } from './world.ts';

type State = Readonly<Record<string, Tensor>>;

export interface Keeper {
  /** The newest checkpoint. */
  readonly path: string | undefined;
  /** What to say of it where a run ends. */
  readonly kept: string;
  /**
   * Saves, unless this very position is saved. A state is saved if it is finite, its variances are not negative, and it
   * gives finite features in evaluation mode: running statistics may diverge where those of batches do not show it.
   * @param images [N, 3, S, S], normalised, of the last step; undefined before the first
   * @throws DivergedError
   */
  save(info: Omit<CheckpointInfo, 'moco'>, state: () => Promise<State>, images?: Float32Array): Promise<void>;
  /** A step was finite. @param globalStep of it */
  passed(globalStep: number): Promise<void>;
  /** The error for a step with a loss that is not finite. */
  refuse(loss: number, at: Position): Promise<DivergedError>;
  /** Removes what is older than the run keeps. */
  finish(): Promise<void>;
  dispose(): Promise<void>;
}

interface Saved {
  readonly path: string;
  readonly globalStep: number;
  /** It is this process's, not what it went on from. */
  readonly own: boolean;
  /** The step behind it was finite. */
  readonly proven?: boolean;
}

export interface KeeperSettings {
  readonly folder: string;
  readonly config: RunConfig;
  readonly backend: Backend;
  readonly encoder: Encoder;
  readonly log: Pick<RunLog, 'write'>;
  /** Of the folder. */
  readonly lock: Lock;
  /** The checkpoint that the run resumes, and its position. */
  readonly from: { readonly path: string; readonly globalStep: number } | undefined;
}

/** Where another process saves. */
export const noKeeper: Keeper = {
  path: undefined,
  kept: 'the last checkpoint is in the run folder',
  save: async () => undefined,
  passed: async () => undefined,
  refuse: async () => {
    throw new FailedElsewhere('the loss is not finite');
  },
  finish: async () => undefined,
  dispose: async () => undefined,
};

export function createKeeper({ folder, config, backend, encoder, log, from, lock }: KeeperSettings): Keeper {
  let saved: Saved | undefined = from && { ...from, own: false };
  const trial = createTrial(backend, config, encoder);
  const removeOthers = async ({ path, own }: Saved) => {
    if (own) await removeOld(folder, basename(path), config.keep);
  };
  return {
    get path() {
      return saved?.path;
    },
    get kept() {
      return saved ? `the last good checkpoint is ${saved.path}` : 'no checkpoint was made before';
    },
    async save(info, read, images) {
      const { epoch, step, globalStep } = info;
      if (saved?.globalStep === globalStep) return;
      const state = await read();
      const fault = faultOf(state) ?? (images && (await trial.fault(state, images)));
      if (fault !== undefined) {
        log.write('diverged', { epoch, step, globalStep, message: `Step ${globalStep}: ${fault}` });
        throw new DivergedError(
          say`${fault} after step ${globalStep}, and nothing is saved by it; ${this.kept}; ${REMEDY}`,
        );
      }
      lock.check();
      // One more than the run keeps, until the step behind it has shown that it leads on.
      const path = await saveCheckpoint(folder, info, state, config.keep + 1);
      saved = { path, globalStep, own: true };
      log.write('checkpoint', { epoch, step, globalStep, file: checkpointName(info) });
    },
    async passed(globalStep) {
      if (!saved || saved.globalStep !== globalStep || saved.proven) return;
      saved = { ...saved, proven: true };
      await removeOthers(saved);
    },
    async refuse(loss, { epoch, step, globalStep }) {
      log.write('diverged', { epoch, step, globalStep, loss: String(loss) });
      const left = saved?.globalStep === globalStep ? await whatLeadsHere(saved) : this.kept;
      return new DivergedError(
        say`the loss is ${loss} at epoch ${epoch}, step ${step} (step ${globalStep} of the run); ${left}; ${REMEDY}`,
      );
    },
    async finish() {
      if (saved) await removeOthers(saved);
    },
    dispose: trial.dispose,
  };
}

const REMEDY = say`try a lower ${settingRef('lr')} or ${settingRef('warmupEpochs')}`;

/**
 * What to say of a checkpoint whose very next step diverged: it would only lead there again. One of this process is set
 * aside as `*.diverged`, so that a resumed run finds the one before.
 */
async function whatLeadsHere({ path, own }: Saved): Promise<string> {
  if (own) {
    let before: string | undefined;
    try {
      before = await setDivergedAside(path);
    } catch (error) {
      // Report the divergence, even if the disk fails too.
      return `${path} leads there at once, and could not be set aside: ${(error as Error).message}`;
    }
    const left = before === undefined ? 'there is no other' : `the last good checkpoint is ${before}`;
    return `${path} leads there, and is set aside as .diverged; ${left}`;
  }
  const names = await listCheckpoints(dirname(path));
  const before = names[names.indexOf(basename(path)) + 1];
  const way = before === undefined ? '' : `; the one before is ${join(dirname(path), before)}`;
  return `${path} leads there at once${way}`;
}

/** Images that a state is tried on. */
const TRIED = 8;

/** Computes features by states, one after the other. */
function createTrial(backend: Backend, config: RunConfig, encoder: Encoder) {
  // Compiled once, at the first checkpoint.
  let extractor: FeatureExtractor | undefined;
  return {
    async fault(state: State, images: Float32Array): Promise<string | undefined> {
      const params = under('q', state);
      const size = 3 * config.imageSize ** 2;
      // Those of one step, of which another process may have a part.
      const batch = Math.min(TRIED, images.length / size);
      if (extractor) await extractor.load(params);
      else extractor = await createExtractor(backend, modelConfig(config, false, encoder), params, batch);
      const features = await extractor.extract(images.subarray(0, batch * size));
      return allFinite(features) ? undefined : 'the features of images are not finite';
    },
    dispose: async () => extractor?.dispose(),
  };
}
