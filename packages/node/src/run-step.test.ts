import { ortPlugin } from '@moco-ts/backend-ort';
import type { Backend } from '@moco-ts/core';
import { registerEncoders } from '@moco-ts/encoders';
import { createMethod, type RunMethod, resolveConfig } from '@moco-ts/run';
import { expect, it } from 'vitest';
import { runStep } from './run-step.ts';

it('a method is asked for feeds only where its views are wanted', async () => {
  registerEncoders();
  const flags = {
    data: 'photos',
    method: 'simclr',
    arch: 'resnet-micro',
    imageSize: 16,
    batchSize: 8,
  } as const;
  const config = resolveConfig(flags, { source: { data: 'photos', split: 'train' } });
  const method = createMethod(config, 20);
  let asked = 0;
  const counting: RunMethod = {
    ...method,
    feeds: (batch, at) => {
      asked++;
      return method.feeds(batch, at);
    },
  };
  const step = method.step(method.state());
  const backend = await ortPlugin.create({});
  const bytes: Backend = {
    ...backend,
    capabilities: () => ({ ...backend.capabilities(), byteImages: true }),
  };
  try {
    expect(runStep(backend, counting, config, step)).toEqual({ step, bytes: false, views: [] });
    expect(asked).toBe(0);
    expect(runStep(backend, counting, config, step, true)).toEqual({
      step,
      bytes: false,
      views: ['xq', 'xk'],
    });
    expect(runStep(bytes, counting, config, step)).toMatchObject({ bytes: true, views: ['xq', 'xk'] });
  } finally {
    await backend.dispose();
  }
});
