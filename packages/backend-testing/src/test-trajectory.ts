/** Training on several backends: the same trajectory on each, and state that goes from one to another. */
import { type Backend, createTrainer, isBuffer, mocoState, mocoStep, type Tensor } from '@moco-ts/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clone } from './compare.ts';
import { configOf, feedsOf, learningRate, settings } from './test-training.ts';

const steps = 5;
/** Where one backend hands over to another. */
const handover = 3;
/** Of a loss, relative. */
const lossTolerance = 1e-3;
/** Of a parameter or statistic, relative to its norm: rounding by 5 steps of a rate of .05 stays a hundred times below. */
const stateTolerance = 1e-3;

export type Factories = Readonly<Record<string, () => Promise<Backend>>>;

interface Trajectory {
  readonly losses: number[];
  readonly state: Record<string, Tensor>;
}

const config = configOf(settings[0]!);
const start = mocoState(config, 1);
const step = mocoStep(config, start);

/** Some steps from a state on. */
async function go(
  backend: Backend,
  from: Record<string, Tensor>,
  first: number,
  end: number,
): Promise<Trajectory> {
  const trainer = await createTrainer(backend, step, from);
  try {
    const losses: number[] = [];
    for (let i = first; i < end; i++) {
      const { loss } = await trainer.step(feedsOf(config, i), learningRate, i);
      losses.push(loss!.data[0]!);
    }
    return { losses, state: await trainer.state() };
  } finally {
    await trainer.dispose();
  }
}

function expectAlike(a: Trajectory, b: Trajectory): void {
  expect(a.losses).toHaveLength(b.losses.length);
  b.losses.forEach((loss, i) => {
    expect(Math.abs(a.losses[i]! / loss - 1), `loss of step ${i}`).toBeLessThan(lossTolerance);
  });
  expect(Object.keys(a.state).sort()).toEqual(Object.keys(b.state).sort());
  for (const [name, { data }] of Object.entries(b.state)) {
    const other = a.state[name]!.data;
    let [apart, size] = [0, 0];
    data.forEach((value, i) => {
      apart += (other[i]! - value) ** 2;
      size += value ** 2;
    });
    // A running mean behind a normalisation is about 0, and only rounding: it is measured by a deviation of 1.
    const scale = isBuffer(name) ? Math.max(size, data.length) : size;
    expect(Math.sqrt(apart / (scale || 1)), name).toBeLessThan(stateTolerance);
  }
}

/** Registers the suites. Each backend is created once, and all are there at the same time. */
export function testTrajectories(factories: Factories): void {
  const names = Object.keys(factories);
  const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b] as const));
  describe('a trajectory of 5 steps', () => {
    const backends = new Map<string, Backend>();
    const unbroken = new Map<string, Trajectory>();
    const halves = new Map<string, Trajectory>();
    beforeAll(async () => {
      for (const name of names) {
        const backend = await factories[name]!();
        backends.set(name, backend);
        unbroken.set(name, await go(backend, clone(start), 0, steps));
        halves.set(name, await go(backend, clone(start), 0, handover));
      }
    });
    afterAll(async () => {
      for (const backend of backends.values()) await backend.dispose();
    });

    it('moves', () => {
      for (const { losses } of unbroken.values()) expect(new Set(losses).size).toBe(steps);
    });
    it.each(pairs)('is the same on %s and on %s', (a, b) => {
      expectAlike(unbroken.get(a)!, unbroken.get(b)!);
    });
    it.each(pairs.flatMap(([a, b]) => [[a, b] as const, [b, a] as const]))(
      'begun on %s goes on on %s',
      async (a, b) => {
        const rest = await go(backends.get(b)!, clone(halves.get(a)!.state), handover, steps);
        const losses = [...halves.get(a)!.losses, ...rest.losses];
        expectAlike({ losses, state: rest.state }, unbroken.get(b)!);
      },
      60_000,
    );
  });
}
