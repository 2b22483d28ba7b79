/** Twenty steps of MoCo v3, SimCLR and InstDisc against PyTorch: parity/steps.py made the fixture. */
import type { Backend } from '@moco-ts/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lowerings, relative, sample } from './parity-testing.ts';
import { ortPlugin } from './plugin.ts';
import { cases, limit, methodOf, run, stateBounds, stateError, steps } from './steps-testing.ts';

describe.each(Object.keys(cases))('%s against PyTorch', (name) => {
  const given = cases[name]!;
  describe.each(lowerings)('$lowering', ({ options }) => {
    const method = methodOf(given);
    let backend: Backend;
    let result: Awaited<ReturnType<typeof run>>;
    beforeAll(async () => {
      backend = await ortPlugin.create(options);
      result = await run(backend, method, given.spec.lr);
    });
    afterAll(() => backend.dispose());

    it('has the losses of every step', () => {
      expect(result.losses).toHaveLength(steps);
      result.losses.forEach((loss, i) => {
        const error = Math.abs(loss - given.losses[i]!) / given.losses[i]!;
        expect(error, `step ${i}`).toBeLessThan(i === 0 ? 1e-5 : 1e-3);
      });
    });

    it('has the gradients of the first step, as exact as PyTorch float32', () => {
      const named = Object.keys(result.gradients).filter((key) => key.startsWith('grad.'));
      const expected = [...Object.keys(given.gradients), ...given.noise].map((key) => `grad.${key}`);
      expect(named.sort()).toEqual(expected.sort());
      // Three times PyTorch's worst: the error of a sample scatters about that of the whole.
      const bound = 3 * Math.max(...Object.values(given.gradients).map(({ f32 }) => f32));
      for (const [parameter, fact] of Object.entries(given.gradients)) {
        const ours = sample(result.gradients[`grad.${parameter}`]!.data, limit);
        expect(relative(ours, fact.sample), parameter).toBeLessThan(bound);
      }
    });

    it('has the parameters, the optimizer and all other state after the last step', () => {
      const bound = stateBounds(given.state, 1e-3);
      const frozen = new Set(
        ['q', 'k'].flatMap((side) => given.spec.frozen?.map((name) => `${side}.${name}`)),
      );
      for (const [key, fact] of Object.entries(given.state)) {
        if (frozen.has(key)) continue;
        const first = method.state[key]!;
        const error = stateError(key, result.state[key]!, first, fact);
        if (fact.norm === 0) {
          // Nothing trained it: a frozen encoder, to the bit.
          expect(result.state[key]!.data, key).toEqual(first.data);
          expect(relative(sample(first.data, limit), fact.sample), key).toBeLessThan(1e-6);
          continue;
        }
        expect(error, key).toBeLessThan(bound(key));
      }
    });

    it('leaves what is frozen as it was', () => {
      for (const side of ['q', 'k'])
        for (const frozen of given.spec.frozen ?? []) {
          const key = `${side}.${frozen}`;
          expect(result.state[key]!.data, key).toEqual(method.state[key]!.data);
        }
    });
  });
});
