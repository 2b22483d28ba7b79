import { describe, expect, it } from 'vitest';
import { type Backend, backendNames, createBackend, defineBackend, registerBackend } from './backend.ts';
import { defineEncoder, encoderNamed, encoderNames, isBuffer, registerEncoder, traitsOf } from './encoder.ts';
import { BackendError, UserError } from './errors.ts';

describe('backends', () => {
  const made: unknown[] = [];
  let loads = 0;
  const plugin = defineBackend({
    name: 'fake',
    create: async (options) => {
      made.push(options);
      return { name: 'fake' } as Backend;
    },
  });
  registerBackend('fake', async () => {
    loads++;
    return plugin;
  });
  it('are loaded when they are asked for, and given the device behind the colon', async () => {
    expect(backendNames()).toContain('fake');
    expect(loads).toBe(0);
    await createBackend('fake', { threads: 2 });
    await createBackend('fake:cuda', { threads: 2 });
    expect(made).toEqual([{ threads: 2 }, { threads: 2, device: 'cuda' }]);
    expect(loads).toBeGreaterThan(0);
  });
  it('that are unknown are refused with the list of the known', async () => {
    await expect(createBackend('fka')).rejects.toThrow(BackendError);
    await expect(createBackend('fka')).rejects.toThrow(/"fka".*fake/);
  });
});

describe('encoders', () => {
  const encoder = defineEncoder({
    name: 'fake',
    inputShape: () => [3, 1, 1],
    featureDim: () => 3,
    init: () => ({}),
    forward: (_context, _params, x) => x,
  });
  it('are found by name, the last of a name', () => {
    registerEncoder(encoder);
    const later = { ...encoder };
    registerEncoder(later);
    expect(encoderNamed('fake')).toBe(later);
    expect(encoderNames()).toEqual(['fake']);
  });
  it('have the traits of a ResNet for RGB but for what they say', () => {
    expect(traitsOf(encoder)).toEqual({ family: 'resnet', stems: [], channels: 3 });
    expect(traitsOf()).toEqual(traitsOf(encoder));
    expect(traitsOf({ traits: { family: 'vit' } })).toEqual({ family: 'vit', stems: [], channels: 3 });
    const strange = { ...encoder, traits: { family: 'mlp' as 'vit' } };
    expect(() => registerEncoder(strange)).toThrow(
      'fake: there is no family "mlp" of encoders; known are: resnet, vit',
    );
  });
  it('that are unknown are refused with the list of the known', () => {
    expect(() => encoderNamed('resnet19')).toThrow(UserError);
    expect(() => encoderNamed('resnet19')).toThrow(/no arch "resnet19".*fake/);
  });
});

it('buffers are told from parameters by their names', () => {
  const names = [
    'bn1.running_mean',
    'layer1.0.bn1.running_var',
    'bn1.weight',
    'conv1.weight',
    'running_mean.weight',
  ];
  expect(names.map(isBuffer)).toEqual([true, true, false, false, false]);
});
