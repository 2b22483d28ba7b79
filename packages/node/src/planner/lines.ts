/** A recipe as people read it: what was chosen, and why. */
import { counted, type Wording } from '@moco-ts/core';
import { durationText, lengthOf, methodOf, type RunConfig, type RunFlags, takes } from '@moco-ts/run';
import { type Budget, trainingSeconds } from './budget.ts';
import type { DataFacts } from './facts.ts';
import type { Place } from './machine.ts';
import type { Settled } from './settle.ts';

/** A line of a recipe. */
export interface RecipeLine {
  /** `method` */
  readonly what: string;
  /** `simclr` */
  readonly value: string;
  /** Empty where there is nothing to say. */
  readonly reason: Wording;
}

/** What was settled, and the measurements behind it. */
export interface Plan {
  readonly config: RunConfig;
  /** What the user asked for. */
  readonly given: RunFlags;
  readonly facts: DataFacts;
  readonly place: Place;
  readonly settled: Settled;
  /** Seconds from one step to the next, and of a batch's views. */
  readonly secondsPerStep: number;
  readonly viewSeconds: number;
  /** Undefined where the user limits the run by epochs or steps. */
  readonly budget?: Budget | undefined;
  /** Of the training, about; Infinity where the log of another run tells. */
  readonly steps: number;
}

/** In whole seconds. */
const whole = (seconds: number) => durationText(Math.round(seconds));

const number = (value: number) => Math.round(value).toLocaleString('en');

/** The resolved recipe. */
export function recipeLines(plan: Plan): RecipeLine[] {
  const { config, given, place, settled } = plan;
  const asked = (key: keyof RunFlags, reason: string) => (given[key] === undefined ? reason : 'asked for');
  const { method, arch, imageSize, batchSize, optimizer, lr, workers, precision, cropMin } = config;
  const { images } = plan.facts;
  return [
    imagesLine(plan.facts),
    { what: 'method', value: method, reason: asked('method', settled.recipe.reason) },
    { what: 'encoder', value: arch, reason: settled.reason },
    {
      what: 'views',
      value: `${imageSize} px`,
      reason: `crops of ${Math.round(100 * cropMin)} to 100 % of an image's area`,
    },
    {
      what: 'batch',
      value: String(batchSize),
      reason: asked(
        'batchSize',
        batchSize > images / 2 ? `of ${images} images` : 'many updates in little time',
      ),
    },
    ...contrastLines(config),
    {
      what: 'optimizer',
      value: `${optimizer}, ${lr}`,
      reason: `${config.cos ? 'the rate falls by half a cosine' : 'the rate falls in steps'}${given.init !== undefined && given.lr === undefined ? '; a tenth, for weights that are trained' : ''}`,
    },
    { what: 'computed by', value: `${place.backend}, ${precision}`, reason: place.reason },
    { what: 'workers', value: String(workers), reason: workersReason(plan) },
    timeLine(plan),
    ...estimateLines(plan),
  ];
}

function imagesLine({
  images,
  heldOut,
  width,
  height,
  grey,
  duplicates = 0,
  classes,
}: DataFacts): RecipeLine {
  const notes = [
    heldOut > 0 ? `${number(heldOut)} more to measure on` : 'too few to keep some to measure on',
    ...(duplicates > 0 ? [`${number(duplicates)} byte-equal copies`] : []),
    ...(classes === undefined ? [] : [`${counted(classes, 'class', 'classes')}, not trained on`]),
  ];
  return {
    what: 'images',
    value: `${number(images)}, ${width} x ${height}${grey ? ' grey' : ''}`,
    reason: notes.join('; '),
  };
}

/** Temperature, queue and momentum, where the method has them. */
function contrastLines(config: RunConfig): RecipeLine[] {
  const plugin = methodOf(config);
  const { mocoT, mocoK, mocoM } = config;
  const parts = [
    ...(takes(plugin, 'mocoT') ? [`T ${mocoT}`] : []),
    ...(takes(plugin, 'mocoK') ? [`K ${mocoK}`] : []),
    ...(takes(plugin, 'mocoM') ? [`m ${mocoM}`] : []),
  ];
  if (parts.length === 0) return [];
  const reason = parts.length > 1 ? 'temperature, keys in the queue, their momentum' : 'temperature';
  return [{ what: 'contrast', value: parts.join(', '), reason }];
}

function workersReason({ viewSeconds: views, settled }: Plan): string {
  const { secondsPerStep: step } = settled.scale;
  if (views === 0) return 'make the views';
  const share = `views of a batch take ${milliseconds(views)}, a step ${milliseconds(step)}`;
  return views > step ? `${share}: decoding is the bottleneck` : share;
}

const milliseconds = (seconds: number) =>
  seconds < 10 ? `${Math.max(1, Math.round(1000 * seconds))} ms` : `${seconds.toFixed(0)} s`;

function timeLine({ budget, config }: Plan): RecipeLine {
  if (!budget) {
    const value = config.maxSteps === undefined ? lengthOf(config) : counted(config.maxSteps, 'step');
    return { what: 'time', value, reason: 'asked for' };
  }
  const training = whole(trainingSeconds(budget));
  return {
    what: 'time',
    value: durationText(budget.time),
    reason: `${training} to train, ${whole(budget.reserve)} to measure, export and report, ${whole(budget.spent)} are gone`,
  };
}

function estimateLines({ config, secondsPerStep, facts, steps: about }: Plan): RecipeLine[] {
  const steps = Math.floor(about);
  if (!Number.isFinite(steps)) return [];
  const passes = steps / Math.max(1, Math.floor(facts.images / config.batchSize));
  return [
    {
      what: 'estimate',
      value: counted(steps, 'step'),
      reason: `${passes.toFixed(passes < 10 ? 1 : 0)} passes over the images, ${milliseconds(secondsPerStep)} a step`,
    },
  ];
}
