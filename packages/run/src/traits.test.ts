/** What settings know of an architecture comes from its traits, whatever its name. */
import { defineEncoder, type EncoderTraits, registerEncoder, UserError } from '@moco-ts/core';
import { builtInEncoders, resnet50, traitsNamed, vit_conv_small, vit_small } from '@moco-ts/encoders';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from './config.ts';
import { createMethod, encoderOf } from './model.ts';

const folder = { source: { data: 'photos', split: 'train' as const } };
const own = (name: string, traits?: Partial<EncoderTraits>) =>
  defineEncoder({
    name,
    ...(traits && { traits }),
    inputShape: ({ imageSize }) => [3, imageSize, imageSize],
    featureDim: () => 3,
    init: () => ({}),
    forward: (_context, _params, x) => x,
  });

describe('the built-in encoders', () => {
  it('are known before anything registers them', () => {
    expect(traitsNamed('resnet50')).toEqual({
      family: 'resnet',
      stems: ['imagenet', 'cifar', 'small'],
      channels: 3,
    });
    expect(traitsNamed('resnet-tiny').stems[0]).toBe('small');
    expect(traitsNamed('vit_small')).toEqual({ family: 'vit', stems: ['patch'], channels: 3 });
    expect(traitsNamed('vit_conv_small').stems).toEqual(['conv']);
  });

  it('have input of as many channels as their traits say', () => {
    for (const encoder of builtInEncoders)
      expect(encoder.inputShape({ imageSize: 224 })[0], encoder.name).toBe(
        traitsNamed(encoder.name).channels,
      );
  });

  it('can be built with each of the stems that a configuration may choose', () => {
    for (const stem of traitsNamed('resnet50').stems)
      expect(resnet50.featureDim({ imageSize: 64, stem: stem as 'cifar' })).toBe(2048);
    expect([vit_small, vit_conv_small].map(({ traits }) => traits?.stems?.length)).toEqual([1, 1]);
  });
});

describe("a plugin's encoder", () => {
  it('takes the settings of its family, not of its name', () => {
    registerEncoder(own('vit-like'));
    registerEncoder(own('patches', { family: 'vit' }));
    const v3 = (arch: string) => resolveConfig({ data: 'photos', method: 'moco-v3', arch }, folder);
    expect(v3('vit-like')).toMatchObject({ optimizer: 'lars', mocoT: 1, warmupEpochs: 10 });
    expect(v3('patches')).toMatchObject({ optimizer: 'adamw', mocoT: 0.2, warmupEpochs: 40 });
    // The projector's last layer: of three in the paper's heads for ViTs, of two in those for ResNets.
    const layers = (arch: string) => {
      const state = createMethod({ ...v3(arch), mocoMlpDim: 8, mocoDim: 4 }, 10).state();
      return Object.keys(state).filter(
        (name) => /^q\.fc\.\d+\.weight$/.test(name) && state[name]!.shape.length === 2,
      );
    };
    expect(layers('patches')).toHaveLength(3);
    expect(layers('vit-like')).toHaveLength(2);
    expect(encoderOf(v3('patches')).encoderConfig).toHaveProperty('trainPatchEmbed', false);
    expect(encoderOf(v3('vit-like')).encoderConfig).not.toHaveProperty('trainPatchEmbed');
  });

  it('has the stem for small images if it can', () => {
    registerEncoder(own('plain'));
    registerEncoder(own('stemmed', { stems: ['imagenet', 'cifar'] }));
    registerEncoder(own('small', { stems: ['small', 'cifar'] }));
    const stem = (arch: string, imageSize: number) =>
      resolveConfig({ data: 'photos', arch, imageSize }, folder).stem;
    expect(['plain', 'stemmed', 'small'].map((arch) => stem(arch, 64))).toEqual([
      undefined,
      'cifar',
      undefined,
    ]);
    expect(stem('stemmed', 65)).toBeUndefined();
  });

  it('of other channels than images have is refused', () => {
    registerEncoder(own('grey', { channels: 1 }));
    const config = resolveConfig({ data: 'photos', arch: 'grey' }, folder);
    expect(() => encoderOf(config)).toThrow(UserError);
    expect(() => encoderOf(config)).toThrow(
      'the encoder grey takes images of 1 channel, and data sets give 3: choose another arch',
    );
  });
});
