import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { RgbImage } from '../dataset.ts';
import { openEmoji } from '../datasets/emoji.ts';
import { applyEvalTransform, applyView } from './apply.ts';
import { gaussianBlur } from './blur.ts';
import {
  adjustBrightness,
  adjustContrast,
  adjustHue,
  adjustSaturation,
  flip,
  grayscale,
  solarize,
} from './color.ts';
import { resizedCrop } from './resize.ts';
import type { Box } from './sample.ts';

// Made by parity/views.py from torchvision and Pillow.
const fixtures = new URL('../../../../parity/fixtures/', import.meta.url);

interface Case {
  op: string;
  in: string;
  out: string;
  value?: number;
  size?: number;
  resize?: number;
  box?: Box;
}
const spec = JSON.parse(readFileSync(new URL('views.json', fixtures), 'utf8')) as {
  mean: number[];
  std: number[];
  cases: Case[];
};
const file = readFileSync(new URL('views.safetensors', fixtures));
const headerLength = Number(file.readBigUInt64LE(0));
const header = JSON.parse(file.subarray(8, 8 + headerLength).toString()) as Record<
  string,
  { dtype: string; shape: number[]; data_offsets: [number, number] }
>;

function tensor(name: string) {
  const { shape, data_offsets } = header[name]!;
  const [from, to] = data_offsets;
  return { shape, bytes: new Uint8Array(file.subarray(8 + headerLength + from, 8 + headerLength + to)) };
}
function image(name: string): RgbImage {
  const { shape, bytes } = tensor(name);
  return { height: shape[0]!, width: shape[1]!, data: bytes };
}
const floats = (name: string) => new Float32Array(tensor(name).bytes.buffer);

/** Mean and largest absolute difference. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>) {
  expect(a.length).toBe(b.length);
  let sum = 0;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    sum += d;
    if (!(d <= most)) most = d;
  }
  return { mean: sum / a.length, most };
}

const COLOUR: Record<string, (p: RgbImage, value: number) => RgbImage> = {
  brightness: adjustBrightness,
  contrast: adjustContrast,
  saturation: adjustSaturation,
  hue: adjustHue,
  solarize,
  grayscale,
  flip,
};

describe('views agree with torchvision on fixed parameters', () => {
  const named = spec.cases.map(
    (one) => [`${one.op} ${one.value ?? one.size ?? ''} of ${one.in}`, one] as const,
  );

  // Both sides do the same fixed-point and float32 arithmetic, so the bytes are equal, not just near.
  it.each(named.filter(([, c]) => c.op in COLOUR))('%s: the same bytes', (_, one) => {
    const made = COLOUR[one.op]!(image(`in.${one.in}`), one.value ?? 0);
    expect(difference(made.data, tensor(one.out).bytes).most).toBe(0);
  });

  it.each(named.filter(([, c]) => c.op === 'crop'))('%s: the same bytes', (_, one) => {
    const made = resizedCrop(image(`in.${one.in}`), one.box!, one.size!);
    expect(difference(made.data, tensor(one.out).bytes).most).toBe(0);
  });

  it.each(named.filter(([, c]) => c.op === 'blur'))('%s: the same bytes', (_, one) => {
    const made = gaussianBlur(image(`in.${one.in}`), one.value!);
    expect(difference(made.data, tensor(one.out).bytes).most).toBe(0);
  });

  // torchvision mirrors at the border and has no box approximation: up to 2 of 255 apart on these small images.
  it.each(named.filter(([, c]) => c.op === 'true-blur'))(
    '%s: a true Gaussian is near on average',
    (_, one) => {
      const { mean } = difference(gaussianBlur(image(`in.${one.in}`), one.value!).data, image(one.out).data);
      expect(mean).toBeLessThan(2);
    },
  );

  it('a whole view', () => {
    const one = spec.cases.find((c) => c.op === 'view')!;
    const params = {
      box: { left: 9, top: 4, width: 101, height: 80 },
      ops: [
        { op: 'hue', shift: 0.06 },
        { op: 'contrast', factor: 1.3 },
        { op: 'brightness', factor: 0.8 },
        { op: 'saturation', factor: 0.75 },
        { op: 'blur', sigma: 0.8 },
        { op: 'flip' },
        { op: 'solarize', threshold: 128 },
      ],
    } as const;
    const made = applyView(image('in.photo'), params, { size: one.size!, mean: spec.mean, std: spec.std });
    // Only the last float32 roundings of the normalisation differ (values up to 2.7).
    expect(difference(made, floats(one.out)).most).toBeLessThan(1e-6);
  });

  it('the evaluation transform', () => {
    const one = spec.cases.find((c) => c.op === 'clean')!;
    const target = { size: one.size!, mean: spec.mean, std: spec.std };
    const made = applyEvalTransform(image('in.photo'), target, one.resize);
    expect(difference(made, floats(one.out)).most).toBeLessThan(1e-6);
  });

  it.each([
    ['google/1f600', 'grin'],
    ['twitter/1f339', 'rose'],
  ])('decoding composites %s on white as Pillow does', async (id, name) => {
    for (const split of ['train', 'test'] as const) {
      const set = await openEmoji({ split });
      for (let i = 0; i < set.length; i++) {
        if (set.id(i) !== id) continue;
        expect(difference((await set.decode(i)).data, image(`in.${name}`).data).most).toBeLessThanOrEqual(1);
        return;
      }
    }
    expect.fail(`${id} is in neither split`);
  });
});
