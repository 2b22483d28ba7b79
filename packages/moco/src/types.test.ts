/** What the types refuse, and that they name every option: judged by the compiler. */
import { backendDevices, encoderNames } from '@moco-ts/core';
import { registerEncoders } from '@moco-ts/encoders';
import { registerPlugins } from '@moco-ts/node';
import type { RunFlags } from '@moco-ts/run';
import { expect, expectTypeOf, it } from 'vitest';
import { optionNames } from './check-options.ts';
import {
  type ArchName,
  type BackendName,
  type PretrainOptions,
  type PretrainRun,
  pretrain,
  type Step,
} from './index.ts';

type Names = keyof PretrainOptions;

it('names every setting of a run, and no other', () => {
  type Own =
    | 'preset'
    | 'testData'
    | 'knnEvery'
    | 'out'
    | 'resume'
    | 'log'
    | 'signal'
    | 'onEvaluation'
    | 'onWarning';
  expectTypeOf<Exclude<Names, Own>>().toEqualTypeOf<
    Exclude<keyof RunFlags, 'plugin' | 'openEnded' | 'teacherChecksum'>
  >();
  const all = {
    ...{ method: true, preset: true, mocoDim: true, mocoK: true, mocoM: true, mocoMCos: true, mocoT: true },
    ...{ mlp: true, mocoMlpDim: true, loss: true, bankMomentum: true, bankDraw: true, proximal: true },
    ...{
      symmetric: true,
      bn: true,
      bnSplits: true,
      arch: true,
      imageSize: true,
      stem: true,
      patchSize: true,
    },
    ...{ stopGradConv1: true, augPlus: true, blur: true, cropMin: true, mean: true, std: true, epochs: true },
    ...{
      startEpoch: true,
      batchSize: true,
      accumulate: true,
      optimizer: true,
      lr: true,
      scaleLr: true,
      schedule: true,
    },
    ...{ cos: true, lrPerStep: true, warmupEpochs: true, momentum: true, wd: true, seed: true, data: true },
    ...{
      testData: true,
      workers: true,
      maxBad: true,
      isolate: true,
      holdOut: true,
      labels: true,
      designers: true,
      backend: true,
    },
    ...{ hue: true, grayscale: true, checkpointActivations: true, precision: true },
    ...{ teacher: true, teacherSize: true, teacherMean: true, teacherStd: true, teacherT: true },
    ...{ cacheTeacher: true, devices: true },
    ...{
      threads: true,
      init: true,
      maxSteps: true,
      time: true,
      progressFrom: true,
      out: true,
      resume: true,
      printFreq: true,
      saveEvery: true,
    },
    ...{
      saveEverySteps: true,
      keep: true,
      knnEvery: true,
      measureEvery: true,
      select: true,
      patience: true,
      signal: true,
      onEvaluation: true,
      log: true,
      onWarning: true,
    },
  };
  expectTypeOf<keyof typeof all>().toEqualTypeOf<Names>();
  expect([...optionNames].sort()).toEqual(Object.keys(all).sort());
});

it('names every encoder that comes along', () => {
  registerEncoders();
  const all = {
    ...{ resnet18: true, resnet34: true, resnet50: true, resnet101: true, resnet152: true },
    ...{ resnext50_32x4d: true, resnext101_32x8d: true, wide_resnet50_2: true, wide_resnet101_2: true },
    ...{ 'resnet-tiny': true, 'resnet-micro': true, 'resnet-mini': true },
    ...{ vit_tiny: true, vit_small: true, vit_base: true },
    ...{ vit_large: true, vit_conv_small: true, vit_conv_base: true },
    ...{
      deit_tiny_patch16_224: true,
      deit_small_patch16_224: true,
      deit_base_patch16_224: true,
      vit_large_patch16_224: true,
      vit_small_patch14_dinov2: true,
      vit_base_patch14_dinov2: true,
      vit_large_patch14_dinov2: true,
      vit_small_patch14_reg4_dinov2: true,
      vit_base_patch14_reg4_dinov2: true,
      vit_large_patch14_reg4_dinov2: true,
      vit_base_patch16_clip_224: true,
      vit_large_patch14_clip_224: true,
      vit_base_patch16_clip_quickgelu_224: true,
      vit_large_patch14_clip_quickgelu_224: true,
    },
  };
  expectTypeOf<keyof typeof all>().toEqualTypeOf<ArchName>();
  expect(Object.keys(all).sort()).toEqual(encoderNames());
});

it('names every backend that comes along, and takes those of others', async () => {
  const all = {
    ...{ ort: true, 'ort:cuda': true, 'ort:webgpu': true, webgpu: true, reference: true },
    ...{ 'tfjs:cpu': true, 'tfjs:wasm': true, 'tfjs:node': true, 'tfjs:node-gpu': true },
    ...{ 'xla:cpu': true, 'xla:cuda': true },
  };
  expectTypeOf<keyof typeof all | 'auto'>().toEqualTypeOf<BackendName>();
  await registerPlugins();
  expect((await backendDevices()).map(({ name }) => name).sort()).toEqual(Object.keys(all).sort());
  expectTypeOf<'mine:gpu'>().toExtend<PretrainOptions['backend']>();
  expectTypeOf<1>().not.toExtend<PretrainOptions['backend']>();
});

it('refuses what is wrong', () => {
  const wrong = () => [
    // @ts-expect-error an unknown option
    pretrain({ data: 'photos', batchsize: 8 }),
    // @ts-expect-error a text for a number
    pretrain({ data: 'photos', batchSize: '8' }),
    // @ts-expect-error an unknown method
    pretrain({ data: 'photos', method: 'moco-v4' }),
    // @ts-expect-error an unknown encoder
    pretrain({ data: 'photos', arch: 'resnet19' }),
    // @ts-expect-error an unknown preset
    pretrain({ data: 'photos', preset: 'best' }),
    // @ts-expect-error an object that is no backend
    pretrain({ data: 'photos', backend: { name: 'mine' } }),
    // @ts-expect-error a set without images
    pretrain({ data: { name: 'mine', length: 3 } }),
    // @ts-expect-error two channels
    pretrain({ data: 'photos', mean: [0, 0] }),
    // @ts-expect-error a controller for its signal
    pretrain({ data: 'photos', signal: new AbortController() }),
  ];
  expectTypeOf(wrong).returns.items.toEqualTypeOf<PretrainRun>();
  expectTypeOf<PretrainRun>().toExtend<AsyncIterable<Step>>();
});
