import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, expectTypeOf, it } from 'vitest';
import { imageFolder, logged, temporaryFolder } from '../../cli/src/testing.ts';
import { type OwnDataset, SettingError, type TrainEvent, type TrainRun, train } from './index.ts';

const small = { arch: 'resnet-micro', imageSize: 16, workers: 0, threads: 1, backend: 'ort' } as const;
const images = imageFolder(40);
const folder = () => join(temporaryFolder(), 'run');

async function eventsOf(run: TrainRun): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

it('tells phases, the recipe and every step in order, and what was learned', async () => {
  const out = folder();
  const run = train({ ...small, data: images, epochs: 2, out });
  const events = await eventsOf(run);
  const order = events.map((event) => (event.kind === 'phase' ? event.phase : event.kind));
  expect(order).toEqual([
    ...['looking', 'timing', 'baselines', 'training', 'recipe'],
    ...['step', 'step', 'measuring', 'exporting'],
  ]);
  const [recipe] = events.filter((event) => event.kind === 'recipe');
  expect(recipe).toMatchObject({ folder: out, config: { method: 'simclr', batchSize: 32 } });
  expect(recipe!.recipe.map(({ what }) => what)).toContain('encoder');
  const steps = events.filter((event) => event.kind === 'step');
  expect(steps.map(({ loss }) => loss).slice(0, 1)).toEqual(
    logged(out, 'step')
      .map(({ loss }) => loss)
      .slice(0, 1),
  );
  expect(steps.at(-1)!.done).toBe(1);
  const result = (await run.result)!;
  expect(result).toMatchObject({ outcome: 'done', folder: out, images: 40, seen: true, skipped: 0 });
  expect(existsSync(result.model!)).toBe(true);
  expect(result.compared).toEqual([
    {
      measure: 'editedCopies',
      pixels: expect.any(Number),
      before: expect.any(Number),
      after: expect.any(Number),
      chance: 2.5,
    },
  ]);
});

it('trains on images of a program, and measures on others', async () => {
  const own = (length: number, first: number): OwnDataset => ({
    ...{ name: 'own', length },
    decode: (index) => ({
      ...{ width: 8, height: 8 },
      data: Uint8Array.from({ length: 192 }, (_, at) => (at * (first + index + 1)) % 251),
    }),
  });
  const options = { ...small, data: own(20, 0), testData: own(10, 100), maxSteps: 1, out: folder() };
  const run = train(options);
  const measured = (await eventsOf(run)).filter((event) => event.kind === 'evaluation');
  expect(measured.map(({ best }) => best)).toEqual([true]);
  const result = (await run.result)!;
  expect(result).toMatchObject({ images: 10, seen: false, outcome: 'stopped' });
  expect(result.best).toMatchObject({ by: 'retrieval', checkpoint: result.checkpoint });
  expect(result.compared[0]!.after).toBeCloseTo(result.best!.value, 6);
});

it('leaves all of it when the loop is left', async () => {
  const run = train({ ...small, data: images, epochs: 1000, out: folder() });
  for await (const event of run) if (event.kind === 'step') break;
  const result = (await run.result)!;
  expect(result.outcome).toBe('stopped');
  expect(existsSync(result.model!)).toBe(true);
});

it('writes nothing where it is stopped before training begins', async () => {
  const out = folder();
  expect(await train({ ...small, data: images, out, signal: AbortSignal.abort() }).result).toBeUndefined();
  expect(existsSync(out)).toBe(false);
});

it('refuses a wrong option', async () => {
  const wrong = train({ data: images, batchsize: 8 } as never).result;
  await expect(wrong).rejects.toBeInstanceOf(SettingError);
  expectTypeOf<TrainRun>().toExtend<AsyncIterable<TrainEvent>>();
});
