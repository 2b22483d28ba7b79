import type { Rng } from '@moco-ts/core';
import type { ViewConfig } from './config.ts';

/** A rectangle of whole pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** One operation with its parameter fixed. */
export type AppliedOp =
  | { readonly op: 'brightness' | 'contrast' | 'saturation'; readonly factor: number }
  | { readonly op: 'hue'; readonly shift: number }
  | { readonly op: 'grayscale' | 'flip' }
  | { readonly op: 'blur'; readonly sigma: number }
  | { readonly op: 'solarize'; readonly threshold: number };

/** Everything that was drawn for one view of one image. */
export interface ViewParams {
  readonly box: Box;
  readonly ops: readonly AppliedOp[];
}

/** Draws one view of an image of `width` x `height` pixels. */
export function sampleView(config: ViewConfig, random: Rng, width: number, height: number): ViewParams {
  const box = sampleCrop(random, width, height, config.crop, config.ratio);
  const ops: AppliedOp[] = [];
  for (const step of config.ops) {
    if (step.p !== undefined && random.uniform() >= step.p) continue;
    switch (step.op) {
      case 'jitter': {
        const factor = (strength: number) => random.uniform(Math.max(0, 1 - strength), 1 + strength);
        const drawn: AppliedOp[] = [
          { op: 'brightness', factor: factor(step.brightness) },
          { op: 'contrast', factor: factor(step.contrast) },
          { op: 'saturation', factor: factor(step.saturation) },
          { op: 'hue', shift: random.uniform(-step.hue, step.hue) },
        ];
        for (const i of random.permutation(4)) ops.push(drawn[i]!);
        break;
      }
      case 'blur':
        ops.push({ op: 'blur', sigma: random.uniform(step.sigma[0], step.sigma[1]) });
        break;
      case 'solarize':
        ops.push({ op: 'solarize', threshold: step.threshold });
        break;
      default:
        ops.push({ op: step.op });
    }
  }
  return { box, ops };
}

/**
 * The crop of torchvision's RandomResizedCrop: area uniform in `scale`, aspect log-uniform in `ratio`, ten tries;
 * then the largest centred crop whose aspect is in range.
 */
export function sampleCrop(
  random: Rng,
  width: number,
  height: number,
  scale: readonly [number, number],
  ratio: readonly [number, number],
): Box {
  const logLow = Math.log(ratio[0]);
  const logHigh = Math.log(ratio[1]);
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * random.uniform(scale[0], scale[1]);
    const aspect = Math.exp(random.uniform(logLow, logHigh));
    const w = Math.round(Math.sqrt(area * aspect));
    const h = Math.round(Math.sqrt(area / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = random.integer(height - h + 1);
      const left = random.integer(width - w + 1);
      return { left, top, width: w, height: h };
    }
  }
  const aspect = width / height;
  let w = width;
  let h = height;
  if (aspect < ratio[0]) h = Math.min(height, Math.round(width / ratio[0]));
  else if (aspect > ratio[1]) w = Math.min(width, Math.round(height * ratio[1]));
  return { left: (width - w) >> 1, top: (height - h) >> 1, width: w, height: h };
}
