/** Accuracies from the papers, in percent: ImageNet-1M, ResNet-50, 200 epochs, linear probe, unless `source` says otherwise. */
import type { SweepName } from './sweeps.ts';

export interface PublishedPoint {
  readonly series: string;
  readonly x: number | string;
  /** Missing where training failed. */
  readonly value?: number;
}

export interface Published {
  readonly source: string;
  readonly points: readonly PublishedPoint[];
  /** What the curve shows, in words that hold at any scale. */
  readonly claim: string;
}

const moco = (x: number | string, value?: number): PublishedPoint =>
  value === undefined ? { series: 'MoCo', x } : { series: 'MoCo', x, value };

export const published: Readonly<Record<SweepName, Published>> = {
  m: {
    source: 'MoCo (arXiv 1911.05722), section 4.1, K = 4096',
    points: [moco('0'), moco('0.9', 55.2), moco('0.99', 57.8), moco('0.999', 59), moco('0.9999', 58.9)],
    claim: 'm = 0 fails; a slowly moving key encoder is better than a fast one.',
  },
  k: {
    source: 'MoCo (arXiv 1911.05722), figure 3; the points that its text and tables give as numbers',
    points: [moco(4096, 59), moco(65536, 60.6), { series: 'memory bank', x: 65536, value: 58 }],
    claim: 'all three gain from more negatives; the memory bank stays below MoCo at each K.',
  },
  bn: {
    source: 'CIFAR-10 demo of the official repository, 800 epochs, kNN',
    points: [moco('shuffle', 88.7)],
    claim: 'without shuffled keys accuracy falls by 4 points.',
  },
  v2: {
    source: 'MoCo v2 (arXiv 2003.04297), table 1',
    points: [
      moco('v1', 60.6),
      moco('MLP', 62.9),
      moco('aug+', 63.4),
      moco('MLP, aug+', 67.3),
      moco('MLP, aug+, cos', 67.5),
    ],
    claim: 'the MLP head and the stronger views each help, and help most together.',
  },
};
