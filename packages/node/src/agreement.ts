/** What processes that share a run agree on while it goes: its next step, its end, and the images that it leaves out. */
import { DataError } from '@moco-ts/core';
import { type ImageDataset, mostDamaged, type SkippedImage } from '@moco-ts/data';
import type { NextStep, SessionControl } from '@moco-ts/run';
import { FailedElsewhere, gathered, type World } from './world.ts';

/**
 * Before each step rank 0 says whether there is one, and at which progress: its clock is the run's. A stop that any process was
 * asked for stops all of them, behind the same step.
 */
export function agreementOn(world: World, stop: { requested: boolean }): Pick<SessionControl, 'agree'> {
  const { communicator } = world;
  if (!communicator) return {};
  const own = new Float64Array(3);
  const all = new Float64Array(own.length * world.size);
  const bytes = (values: Float64Array) => new Uint8Array(values.buffer);
  const agree = async ({ goesOn, progress }: NextStep): Promise<NextStep> => {
    own.set([Number(goesOn), progress, Number(stop.requested)]);
    await communicator.allGather(bytes(own), bytes(all));
    const [going, at] = all as unknown as readonly [number, number];
    const stopped = all.some((value, i) => i % own.length === 2 && value === 1);
    // One that comes meanwhile is for the next step.
    if (stopped) stop.requested = true;
    return { goesOn: going === 1 && !stopped, progress: at };
  };
  return { agree };
}

/** Damaged images that any process met, on all of them. */
export function sharedSkips(
  world: World,
  dataset: ImageDataset,
  maxBad: number | undefined,
  onSkip: (skipped: SkippedImage) => void,
) {
  const met = new Map<string, SkippedImage>();
  let told = 0;
  return {
    onSkip: (skipped: SkippedImage) => {
      met.set(skipped.id, skipped);
      onSkip(skipped);
    },
    /** Called by all at once. @throws DataError where all of them are more than the run allows */
    async share(): Promise<void> {
      if (!world.communicator) return;
      const news = [...met.values()].slice(told);
      for (const each of (await gathered(world, news)).flat()) {
        if (!met.has(each.id)) onSkip(each);
        met.set(each.id, each);
      }
      told = met.size;
      const limit = mostDamaged(dataset, maxBad);
      if (met.size <= limit) return;
      throw world.rank > 0
        ? new FailedElsewhere('too many images are damaged')
        : new DataError(
            `${dataset.name}: ${met.size} damaged images, more than the ${limit} allowed; the last: ${[...met.values()].at(-1)!.reason}`,
            { setting: 'maxBad' },
          );
    },
  };
}
