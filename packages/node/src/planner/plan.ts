/** Plans a run: looks at the images, times the machine, measures what is to be beaten, and cuts the time. */
import { dirname } from 'node:path';
import { type Extent, lastEpoch, type RunConfig, type RunFlags, resolveConfig } from '@moco-ts/run';
import { startTiming, type Timing } from '../course.ts';
import type { EvaluationEvents } from '../evaluate.ts';
import { flagsFrom } from '../init.ts';
import { findResume, planRun } from '../plan.ts';
import { defaultWorkers } from '../plugins.ts';
import { skipList } from '../skipped.ts';
import { type Baselines, measureBaselines } from './baselines.ts';
import { expectEnough, shareOfMeasures, trainingSeconds } from './budget.ts';
import { type DataFacts, lookAt } from './facts.ts';
import type { Planned, TrainHost, TrainRequest } from './host.ts';
import { recipeLines } from './lines.ts';
import { choosePlace, type Place, runStepSeconds, stepSeconds, viewSeconds } from './machine.ts';
import { openTrainingSets } from './sets.ts';
import { settle } from './settle.ts';

/** In seconds, where the user gives no time. */
const DEFAULT_TIME = { cpu: 30 * 60, gpu: 60 * 60 };
/** The share of the time that is left for training, before it is known what else there is to do. */
const FOR_TRAINING = 0.85;

/**
 * @returns undefined where it was stopped meanwhile
 * @throws UserError for data that can't be opened or are too few, settings that can't work, and a time that is too short
 */
export async function planNew(request: TrainRequest, host: TrainHost): Promise<Planned | undefined> {
  const { clock, stop } = host;
  const timing = startTiming(clock);
  const spent = () => (clock() - timing.began) / 1000;
  host.phase('looking');
  const given = await withWeights(request.flags);
  const sets = await openTrainingSets(given, request, host.warn);
  const facts = await lookAt(sets.train, sets.seen ? 0 : sets.test.length, given);
  if (stop.requested) return undefined;
  host.phase('timing');
  const place = await choosePlace(given);
  const { holdOut } = sets;
  // What was trained on tells nothing of a checkpoint, nor does a run that is not measured.
  const select = given.select ?? (sets.seen || given.measureEvery === 0 ? 'none' : 'retrieval');
  const known = { backend: place.backend, select, ...(holdOut !== undefined && { holdOut }) };
  const timed = (flags: RunFlags) =>
    stepSeconds(resolveConfig({ ...flags, ...known, data: given.data! }, sets.train, defaultWorkers()));
  const time = given.time ?? DEFAULT_TIME[place.gpu ? 'gpu' : 'cpu'];
  // Who says how many epochs or steps has set an end. How long a run is that repeats another, its log tells later.
  const byClock = given.time !== undefined || (given.epochs ?? given.maxSteps) === undefined;
  const isTimed = byClock && given.progressFrom === undefined;
  const extent = byClock ? { seconds: FOR_TRAINING * (time - spent()) } : extentOf(given, facts);
  const chosen = await settle(facts, given, extent, timed);
  const settled = await choosePrecision(chosen, { given, place, timed });
  if (stop.requested) return undefined;
  const { preset, out } = request;
  const run = await planRun(
    {
      flags: { ...settled.flags, ...known, ...(isTimed && { time }) },
      ...{ preset, out, dataset: sets.train, ...(!sets.seen && { test: sets.test }) },
    },
    host,
  );
  const views = await viewSeconds(run.config, sets.train);
  if (stop.requested) return undefined;
  host.phase('baselines');
  const baselines = await measureBaselines(run.config, sets, eventsOf(host), clock, request.own?.encoder);
  if (stop.requested) return undefined;
  const secondsPerStep = runStepSeconds(settled.scale.secondsPerStep, views, place, run.config);
  const kept = keptFor(baselines, run.config, host);
  const reserve = kept.reserve + kept.following.evaluation;
  const budget = isTimed ? { time, spent: spent(), reserve } : undefined;
  if (budget) expectEnough(budget, secondsPerStep);
  const perEpoch = Math.max(1, Math.floor(facts.images / run.config.batchSize));
  const inTime = budget ? trainingSeconds(budget) / secondsPerStep : Number.POSITIVE_INFINITY;
  // Shares are of this, which is what a run goes on to where `maxSteps` ends it before.
  const whole = Math.min(inTime, lastEpoch(run.config) * perEpoch);
  const steps = Math.min(whole, given.maxSteps ?? Number.POSITIVE_INFINITY);
  const epochsOf = (count: number) => (Number.isFinite(count) ? count / perEpoch : run.config.epochs);
  const config = {
    ...run.config,
    saveEvery: given.saveEvery ?? saveEvery(epochsOf(steps)),
    ...(select !== 'none' && {
      measureEvery:
        given.measureEvery ??
        shareOfMeasures(baselines.seconds.measure, epochsOf(whole) * perEpoch * secondsPerStep),
    }),
  };
  const measured = { facts, place, settled, secondsPerStep, viewSeconds: views, budget, steps };
  return {
    ...{ ...run, config, baselines },
    ...{ timing: { ...timing, ...kept }, recipe: recipeLines({ config, given, ...measured }) },
  };
}

/** A run that goes on with what is left of its time. */
export async function planResumed(request: TrainRequest, host: TrainHost): Promise<Planned | undefined> {
  const timing = startTiming(host.clock);
  host.phase('looking');
  const { flags, preset, out, resume } = request;
  const found = await findResume(resume, out, flags, host.warn);
  const sets = await openTrainingSets({ ...found!.info.config, ...flags }, request, host.warn);
  const run = await planRun(
    { flags, preset, out, resume, found, dataset: sets.train, ...(!sets.seen && { test: sets.test }) },
    host,
  );
  if (host.stop.requested) return undefined;
  host.phase('baselines');
  const baselines = await measureBaselines(
    run.config,
    sets,
    eventsOf(host),
    host.clock,
    request.own?.encoder,
    dirname(run.resume!.path),
  );
  return {
    ...run,
    timing: { ...timing, ...keptFor(baselines, run.config, host) },
    recipe: [],
    baselines,
  };
}

/** How long a run is that ends by its epochs, its steps, or both. */
const extentOf =
  ({ epochs = Number.POSITIVE_INFINITY, maxSteps = Number.POSITIVE_INFINITY }: RunFlags, facts: DataFacts) =>
  (batch: number): Extent => ({ steps: Math.min(maxSteps, epochs * Math.floor(facts.images / batch)) });

/** Checkpoints of a run, about: an epoch of few images is over in no time. */
const CHECKPOINTS = 25;

/** Epochs between two of them. @param epochs in all, about */
const saveEvery = (epochs: number): number => Math.max(1, Math.round(epochs / CHECKPOINTS));

/** What given weights say of the run: their architecture, and the size of their images. */
async function withWeights(flags: RunFlags): Promise<RunFlags> {
  if (flags.init === undefined) return flags;
  const begun = await flagsFrom(flags.init, flags);
  return { imageSize: begun.imageSize, ...begun.flags };
}

/** A GPU may be quicker in another precision: this is measured too. */
async function choosePrecision<S extends { flags: RunFlags; scale: { secondsPerStep: number } }>(
  settled: S,
  { given, place, timed }: { given: RunFlags; place: Place; timed: (flags: RunFlags) => Promise<number> },
): Promise<S> {
  if (!place.gpu || given.precision !== undefined) return settled;
  let best = settled;
  for (const precision of place.precisions) {
    const flags = { ...settled.flags, precision };
    const secondsPerStep = await timed(flags);
    if (secondsPerStep < CLEARLY * best.scale.secondsPerStep)
      best = { ...settled, flags, scale: { ...settled.scale, secondsPerStep } };
  }
  return best;
}

/** Of the time of a step: a saving that is worth fewer digits. */
const CLEARLY = 0.9;

/** Measured once more, with a report, by a machine that may be busier then. */
const MARGIN = 1.25;

/**
 * Seconds for what follows training: the encoder is measured and exported as the untrained one was, and a report shows its features. What
 * the run itself measures behind its last step, its course keeps free, and learns how long that takes.
 */
function keptFor(
  { seconds }: Baselines,
  { measureEvery }: Pick<RunConfig, 'measureEvery'>,
  { report }: TrainHost,
) {
  const measure = MARGIN * seconds.measure;
  const reserve = (report ? 2 : 1) * measure + MARGIN * seconds.export;
  return { reserve, following: { evaluation: measureEvery > 0 ? measure : 0 } } satisfies Partial<Timing>;
}

const eventsOf = ({ warn, note }: TrainHost): EvaluationEvents => ({
  note,
  onSkip: skipList(warn).onSkip,
  surveyed: true,
});
