import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ortPlugin } from '@moco-ts/backend-ort';
import { encoderGraph, encodeSafetensors, interpret, registerEncoder, rng } from '@moco-ts/core';
import { defineVit } from '@moco-ts/encoders';
import { aboutKey, resampledPositions } from '@moco-ts/exchange';
import { resolveConfig } from '@moco-ts/run';
import { afterAll, describe, expect, it } from 'vitest';
import { aboutText } from './about.ts';
import { openTeacher, withTeacher } from './teacher.ts';

const folder = mkdtempSync(join(tmpdir(), 'moco-teacher-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const taught = defineVit({ name: 'taught', dim: 8, depth: 1, heads: 2, patchSize: 7, positions: 'learned' });
registerEncoder(taught);
const weights = taught.init({ imageSize: 28 }, (name) => rng(1, name));
const path = join(folder, 'vit.safetensors');
const photos = { source: { data: 'x', split: 'train' } } as const;
const own = resolveConfig({ data: 'x', arch: 'taught', imageSize: 28 }, photos);
writeFileSync(path, encodeSafetensors(weights, { [aboutKey]: aboutText(own, 0) }));

describe('a ViT with learned positions as a teacher', () => {
  it.each([14, 28, 35])(
    'takes images of %i px, and has its positions interpolated for them',
    async (side) => {
      const named = { data: 'x', method: 'distill', teacher: path, teacherSize: side } as const;
      const flags = await withTeacher(named, () => undefined);
      const config = resolveConfig(
        { ...flags, data: 'x', arch: 'resnet-micro', batchSize: 2, mocoK: 16, bnSplits: 1 },
        photos,
      );
      const random = rng(3, 'images');
      const images = Float32Array.from({ length: 2 * 3 * side ** 2 }, () => random.uniform(-2, 2));
      const backend = await ortPlugin.create({ threads: 1 });
      const teacher = (await openTeacher(config, backend))!;
      const features = await teacher.embed(images);
      await teacher.close();
      await backend.dispose();
      const tokens = (side / 7) ** 2 + 1;
      const params = { ...weights, pos_embed: resampledPositions(weights.pos_embed!, [1, tokens, 8])! };
      const graph = encoderGraph({ encoder: taught, encoderConfig: { imageSize: side } }, params, 2);
      const input = { shape: [2, 3, side, side], dtype: 'float32', data: images } as const;
      const wanted = interpret(graph, { ...params, input }).features!.data;
      expect(features).toHaveLength(wanted.length);
      // Float32 on one side, float64 on the other.
      features.forEach((value, i) => {
        expect(value).toBeCloseTo(wanted[i]!, 4);
      });
    },
  );
});
