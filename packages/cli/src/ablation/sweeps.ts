import type { RunConfig, RunFlags } from '@moco-ts/run';
/** What `moco ablate` varies: each sweep is a list of cells, a cell being one run's change of the base recipe. */

/** One setting, trained once for each seed. */
export interface Setting {
  readonly sweep: SweepName;
  /** The curve it belongs to. */
  readonly series: string;
  /** Its place on the axis. */
  readonly x: number | string;
  readonly flags: RunFlags;
}

/** What sweeps start from: the base recipe with its method's defaults filled in. */
type Base = Pick<RunConfig, 'batchSize' | 'mocoK' | 'lr' | 'mocoT' | 'mlp' | 'augPlus'>;

export interface Sweep {
  readonly title: string;
  /** The name of the axis. */
  readonly axis: string;
  readonly scale: 'category' | 'log';
  /** @param size images of the data set: a bank can't be sampled for more, and a queue hardly uses more */
  settings(base: Base, size: number): Setting[];
}

/** What the network is before training: the same of every cell with a seed. */
export const untrainedSetting: Setting = {
  sweep: 'm',
  series: 'untrained',
  x: '',
  flags: { method: 'moco-v2' },
};

/** m of the paper's table (section 4.1). */
const momenta = [0, 0.9, 0.99, 0.999, 0.9999];

/** Powers of 4 from the batch on; what is larger than the data set is left out. */
function sizes(batch: number, size: number): number[] {
  const list: number[] = [];
  for (let k = batch; k <= size && list.length < 6; k *= 4) list.push(k);
  return list;
}

export const sweeps = {
  m: {
    title: 'Momentum of the key encoder',
    axis: 'm',
    scale: 'category',
    settings: () =>
      momenta.map((mocoM) => ({
        sweep: 'm',
        series: 'MoCo',
        x: String(mocoM),
        flags: { method: 'moco-v2', mocoM },
      })),
  },
  k: {
    title: 'Three mechanisms, by the number of negatives',
    axis: 'K',
    scale: 'log',
    settings: ({ batchSize, lr, mocoT, mlp, augPlus }, size) => {
      // The same head, temperature and views for all three: the mechanism alone differs.
      const same = { mocoT, mlp, augPlus };
      const ends = [1, 2, 4].map((times): Setting => {
        const n = batchSize * times;
        // As in the paper the rate grows with the batch. NT-Xent has 2N - 2 negatives in a batch of N.
        const flags: RunFlags = { ...same, method: 'simclr', batchSize: n, lr: lr * times, scaleLr: false };
        return { sweep: 'k', series: 'end-to-end', x: 2 * n - 2, flags: { ...flags, warmupEpochs: 0 } };
      });
      const bank = sizes(batchSize, size).map((mocoK): Setting => {
        const flags: RunFlags = { ...same, method: 'instdisc', loss: 'infonce', bankDraw: 'batch', mocoK };
        return { sweep: 'k', series: 'memory bank', x: mocoK, flags };
      });
      const queue = sizes(batchSize, size).map(
        (mocoK): Setting => ({
          sweep: 'k',
          series: 'MoCo',
          x: mocoK,
          flags: { ...same, method: 'moco-v2', mocoK },
        }),
      );
      return [...ends, ...bank, ...queue];
    },
  },
  bn: {
    title: 'Batch normalisation on one rank',
    axis: '--bn',
    scale: 'category',
    settings: () =>
      (['plain', 'split', 'shuffle'] as const).map((bn) => ({
        sweep: 'bn',
        series: 'MoCo',
        x: bn,
        flags: { method: 'moco-v2', bn },
      })),
  },
  v2: {
    title: 'From MoCo v1 to v2',
    axis: 'recipe',
    scale: 'category',
    settings: () =>
      v2Rows.map(([x, flags]) => ({
        sweep: 'v2',
        series: 'MoCo',
        x,
        flags: { method: 'moco-v1', ...flags },
      })),
  },
} as const satisfies Readonly<Record<string, Sweep>>;

/** The rows of MoCo v2's table 1. T is v1's where the head is linear. */
const v2Rows: readonly (readonly [string, RunFlags])[] = [
  ['v1', { mlp: false, augPlus: false, cos: false, mocoT: 0.07 }],
  ['MLP', { mlp: true, augPlus: false, cos: false, mocoT: 0.2 }],
  ['aug+', { mlp: false, augPlus: true, cos: false, mocoT: 0.07 }],
  ['MLP, aug+', { mlp: true, augPlus: true, cos: false, mocoT: 0.2 }],
  ['MLP, aug+, cos', { mlp: true, augPlus: true, cos: true, mocoT: 0.2 }],
];

export type SweepName = 'm' | 'k' | 'bn' | 'v2';
export const sweepNames = Object.keys(sweeps) as SweepName[];

/** A setting as a file name: `k-memory-bank-1024`. */
export function settingName({ sweep, series, x }: Setting): string {
  return `${sweep}-${series}-${x}`.replace(/[^a-z0-9.]+/gi, '-').toLowerCase();
}
