/** What the methods that come along have in common. */
import type { HeadConfig } from '@moco-ts/core';
import { type ViewConfig, views } from '@moco-ts/data/portable';
import type { MetricGroup } from '../method.ts';
import type { CommonConfig } from '../settings.ts';

/** A head of one or two layers. */
export const plainHead = ({ mlp, mocoDim: dim }: CommonConfig): HeadConfig => ({ mlp, dim });

/** Both views drawn alike: MoCo v1's, or v2's with blur. */
export const plainViews = ({ augPlus, imageSize: size, cropMin }: CommonConfig): readonly ViewConfig[] =>
  views[augPlus ? 'aug-plus' : 'v1']({ size, cropMin });

/** @param against what the positive is told from */
export const contrastiveMetrics = (against: string): readonly MetricGroup[] => [
  {
    title: 'Contrastive accuracy',
    unit: 'percent',
    labels: { acc1: 'Acc@1', acc5: 'Acc@5' },
    digits: 1,
    note: `Of finding the other view among ${against}: says how hard the task is, not how good the features are.`,
  },
];
