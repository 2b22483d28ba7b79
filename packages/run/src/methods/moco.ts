/** MoCo v1 and v2 (arXiv 1911.05722, 2003.04297): the dictionary is a queue of keys. */
import {
  checkMoco,
  initEncoder,
  type MocoConfig,
  mocoState,
  mocoStep,
  rng,
  SettingError,
  say,
  settingRef,
} from '@moco-ts/core';
import {
  defineMethod,
  type MethodConfig,
  type MethodContext,
  type Remark,
  type RunMethod,
  splitsOf,
  viewFeeds,
} from '../method.ts';
import { truth } from '../rule.ts';
import { defaulted } from '../setting.ts';
import { contrastiveMetrics, plainHead, plainViews } from './contrastive.ts';

export const mocoSettings = {
  /** `moco-v1`, `moco-v2`: swap the views and add the second loss. Default false. */
  symmetric: defaulted(truth, {
    default: false,
    group: 'Method',
    flags: '--symmetric',
    doc: 'moco-v1, moco-v2: swap the views and add the second loss',
  }),
};

type Config = MethodConfig<typeof mocoSettings>;

/** Keys that a step adds to the queue. */
const keysOf = ({ batchSize, symmetric }: Config) => batchSize * (symmetric ? 2 : 1);

function queueMethod<const Name extends string>(name: Name, row: Partial<Config>) {
  return defineMethod({
    name,
    settings: mocoSettings,
    uses: ['mocoK', 'mocoM', 'mocoT', 'mlp', 'augPlus', 'bn', 'accumulate'],
    defaults: () => row,
    views: plainViews,
    metrics: ({ mocoK }) => contrastiveMetrics(`1 + ${mocoK} classes`),
    create,
    head: plainHead,
    remarks,
    resumeCheck: (config, { path, step, config: saved, tensors }) => {
      const [keys, before] = [keysOf(config), keysOf(saved)];
      if (keys === before) return;
      const pointer = tensors.queue_ptr!.data[0]!;
      if (step > 0 || pointer % keys !== 0)
        throw new SettingError(
          say`${path} was saved with ${before} keys a step and can't go on with ${keys} from there; keep ${settingRef('batchSize', saved.batchSize)}`,
          { code: 'setting-conflict', value: config.batchSize },
        );
    },
  });
}

function create({ config, images: _, ...pass }: MethodContext<Config>): RunMethod {
  const { seed, symmetric, mocoK } = config;
  const { replicas = 1, accumulate = 1 } = pass;
  const moco: MocoConfig = {
    ...pass,
    ...plainHead(config),
    temperature: config.mocoT,
    queueSize: mocoK,
    momentum: config.mocoM,
    shuffle: config.bn === 'shuffle',
    symmetric,
  };
  return {
    params: () => initEncoder(moco, seed),
    state: () => {
      checkMoco(moco);
      return mocoState(moco, seed);
    },
    step: (state) => mocoStep(moco, state),
    feeds: (batch, { epoch, step }) => {
      const feeds = viewFeeds(config, batch);
      if (!moco.shuffle) return feeds;
      const random = rng(seed, 'shuffle-bn', epoch, step);
      // Of all replicas, one for each micro-batch: each of them draws the same.
      const rows = replicas * pass.batch;
      const data = new Int32Array(accumulate * rows);
      for (let at = 0; at < data.length; at += rows) data.set(random.permutation(rows), at);
      // No spread: see createTrainer.
      return Object.assign(feeds, { perm: { shape: [data.length], dtype: 'int32', data } });
    },
    chance: {
      loss: Math.log(mocoK + 1) * (symmetric ? 2 : 1),
      formula: `${symmetric ? '2 ' : ''}log(K + 1)`,
    },
    warmUp: { steps: mocoK / keysOf(config), dictionary: 'queue' },
  };
}

function remarks(config: Config, images: number, replicas: number): readonly Remark[] {
  const remarks: Remark[] = [];
  if (config.bn === 'sync' || config.bn === 'plain' || (splitsOf(config) === 1 && replicas === 1)) {
    const alone = replicas === 1;
    const kind = config.bn !== 'sync' ? 'plain' : alone ? 'sync, on one rank the same as plain,' : 'sync';
    const where = alone ? 'one rank' : `${replicas} replicas`;
    remarks.push({
      kind: 'warning',
      text: say`${kind} batch normalisation on ${where}: queries and keys share batch statistics, by which the loss can tell a positive without looking at its content (MoCo, section 3.3); ${settingRef('bn', 'shuffle')}, the default, prevents it`,
    });
  }
  if (config.mocoK > images)
    remarks.push({
      kind: 'note',
      text: `Note: the queue (${config.mocoK}) is larger than the set (${images}): an image meets its own old keys as negatives.`,
    });
  return remarks;
}

export const mocoV1 = queueMethod('moco-v1', {});
export const mocoV2 = queueMethod('moco-v2', { mlp: true, mocoT: 0.2, augPlus: true, cos: true });
