/** Schedules of the learning rate and of the key encoder's momentum. */

export interface Schedule {
  /** Half a cosine down to 0 (MoCo v2), else steps (MoCo v1). */
  readonly cosine: boolean;
  /** Epochs at which the rate falls to a tenth, such as 120 and 160. */
  readonly milestones: readonly number[];
  readonly epochs: number;
  /** Epochs of a linear rise from 0; default 0. MoCo v3 uses 40 of 300. */
  readonly warmupEpochs?: number;
}

/**
 * The learning rate at a time.
 * @param base the rate that the command line names
 * @param epoch from 0; MoCo v1 and v2 pass whole epochs, MoCo v3 fractions of them
 */
export function learningRate(base: number, schedule: Schedule, epoch: number): number {
  const warmup = schedule.warmupEpochs ?? 0;
  if (epoch < warmup) return (base * epoch) / warmup;
  if (schedule.cosine)
    return base * 0.5 * (1 + Math.cos((Math.PI * (epoch - warmup)) / (schedule.epochs - warmup)));
  return base * 0.1 ** schedule.milestones.filter((milestone) => epoch >= milestone).length;
}

/**
 * The key encoder's momentum, rising to 1 by half a cosine (MoCo v3, arXiv 2104.02057, section 4; BYOL).
 * @param base the momentum at the start, in [0, 1]; MoCo v3 uses .99
 * @param progress the share of training that is done, in [0, 1]
 */
export function risingMomentum(base: number, progress: number): number {
  return 1 - (1 - base) * 0.5 * (1 + Math.cos(Math.PI * progress));
}
