import { defineDataset, heldOut, type ImageDataset } from '@moco-ts/data';
import { describe, expect, it } from 'vitest';
import { planRun } from './plan.ts';
import { registerPlugins } from './plugins.ts';

const own = defineDataset({
  ...{ name: 'own', length: 40 },
  decode: () => ({ width: 8, height: 8, data: new Uint8Array(192) }),
});
const idsOf = (set: ImageDataset) => Array.from({ length: set.length }, (_, index) => set.id(index));
const silent = { warn: () => undefined, note: () => undefined };

describe('images that a program passes', () => {
  it.each([['none'], ['loss']] as const)(
    'are not trained on where the run holds them out, with select %s',
    async (select) => {
      await registerPlugins();
      const flags = { data: 'object:own', backend: 'ort', batchSize: 16, holdOut: 0.2, select };
      const { dataset, evaluateOn } = await planRun({ flags, dataset: own, out: 'never-written' }, silent);
      const { train, test } = await heldOut(own, 0.2);
      expect(test.length).toBeGreaterThan(0);
      expect(idsOf(dataset)).toEqual(idsOf(train));
      expect([idsOf(evaluateOn!.train!), idsOf(evaluateOn!.test!)]).toEqual([idsOf(train), idsOf(test)]);
    },
  );
});
