import { autoTrain, type ComparedRow, type Measures, type Phase, type Planned } from '@moco-ts/node';
import type { NoSettings, RunConfig, SettingTable } from '@moco-ts/run';
import { checkOptions } from './check-options.ts';
import { type LazyRun, type Lent, lazyRun } from './lazy-run.ts';
import type { EvaluationEvent, MethodOptions, PretrainOptions } from './options.ts';
import { type BestCheckpoint, bestIn, reporterOf, requestOf, type Step, silent, warnBy } from './pretrain.ts';

/** The options of {@link train}: those of {@link pretrain}, which win over the recipe that it chooses. */
export interface TrainOptions extends Omit<PretrainOptions, 'onEvaluation'> {}

/** What a run of {@link train} does at a time, in this order. */
export type TrainPhase = Exclude<Phase, 'reporting'>;

/** One choice of a recipe. */
export interface RecipeChoice {
  /** What is chosen: `method`, `encoder`. */
  readonly what: string;
  /** What was chosen: `simclr`. */
  readonly value: string;
  /** Why, in a sentence for people; may be empty. */
  readonly reason: string;
}

/** Something else begins. */
export interface PhaseEvent {
  /** Tells it from other events. */
  readonly kind: 'phase';
  /** What begins. */
  readonly phase: TrainPhase;
}

/** All is settled; training begins. */
export interface RecipeEvent {
  /** Tells it from other events. */
  readonly kind: 'recipe';
  /** The run folder. */
  readonly folder: string;
  /** The settings of the run. */
  readonly config: RunConfig;
  /** What was chosen, and why; empty for a run that goes on. */
  readonly recipe: readonly RecipeChoice[];
}

/** A step was taken. Its `done` and `eta` draw a progress bar. */
export interface StepEvent extends Step {
  /** Tells it from other events. */
  readonly kind: 'step';
}

/** The encoder was measured in the middle of the run. */
export interface MeasuredEvent extends EvaluationEvent {
  /** Tells it from other events. */
  readonly kind: 'evaluation';
}

/** What {@link train} tells while it goes on: `kind` says which. */
export type TrainEvent = PhaseEvent | RecipeEvent | StepEvent | MeasuredEvent;

/** A measure of the trained encoder beside what it should beat, in percent. */
export interface Compared {
  /** Which one. */
  readonly measure: keyof Measures;
  /** Of the pixels themselves as features. */
  readonly pixels?: number;
  /** Of the network as training began it. */
  readonly before?: number;
  /** Of the trained network. */
  readonly after: number;
  /** Of guessing. */
  readonly chance?: number;
}

/** What {@link train} leaves. */
export interface TrainResult {
  /** `stopped`: by a signal, a loop that was left, or `maxSteps`; `train({ resume: folder })` goes on with what is left of the time. */
  readonly outcome: 'done' | 'stopped' | 'early';
  /** The run folder. */
  readonly folder: string;
  /** The last checkpoint. */
  readonly checkpoint: string;
  /** The checkpoint that `model` and `compared` are of, where one was chosen. */
  readonly best?: BestCheckpoint;
  /** The settings of the run. */
  readonly config: RunConfig;
  /** What was measured, on images that are not trained on where there are enough; empty where it could not be. */
  readonly compared: readonly Compared[];
  /** Images that were measured on. */
  readonly images: number;
  /** They are trained on too: there are too few to hold any out. */
  readonly seen: boolean;
  /** The ONNX model in the run folder, which takes raw images; undefined where it could not be exported. */
  readonly model?: string;
  /** Damaged images that were left out. */
  readonly skipped: number;
  /** How long all of it took. */
  readonly seconds: number;
}

/** A run of {@link train}. Its result is undefined where it was stopped before training began, and nothing was written. */
export interface TrainRun extends LazyRun<TrainEvent, TrainResult | undefined> {}

/**
 * From images to a measured, exported encoder within a time, as `moco train` does: looks at images and machine, chooses a recipe, trains,
 * measures and exports. Errors that you can fix are one-line `UserError`s; a time that is too short is one, with the least that works.
 *
 * ```ts
 * const run = train({ data: 'photos/', time: '30m' });
 * for await (const event of run) if (event.kind === 'step') console.log(event.done, event.eta);
 * const result = await run.result;
 * ```
 */
export function train<Own extends SettingTable = NoSettings>(
  options: TrainOptions & MethodOptions<Own>,
): TrainRun {
  return lazyRun<TrainEvent, TrainResult | undefined>(
    options.signal,
    () => checkOptions(options),
    (lent) => run(options, lent),
  );
}

async function run(
  options: TrainOptions,
  { stop, channel }: Lent<TrainEvent>,
): Promise<TrainResult | undefined> {
  const warn = warnBy(options);
  // One event at a time: who looks at them may be slow.
  let told: Promise<void> = Promise.resolve();
  const tell = (event: TrainEvent) => {
    told = told.then(() => channel.offer(event));
    return told;
  };
  const trained = await autoTrain(await requestOf(options), {
    note: silent,
    warn,
    stop,
    clock: () => performance.now(),
    phase: (phase) => void tell({ kind: 'phase', phase: phase as TrainPhase }),
    planned: (planned) => {
      void tell(recipeEvent(planned));
      return reporterOf(warn, {
        step: (step) => tell({ kind: 'step', ...step }),
        evaluation: (evaluation) => void tell({ kind: 'evaluation', ...evaluation }),
      });
    },
  });
  await told;
  if (!trained) return undefined;
  const { rows, model, best, report: _, classes: __, ...rest } = trained;
  return {
    ...rest,
    ...(best && { best: bestIn(rest.folder, best) }),
    compared: rows.map(comparedOf),
    ...(model && { model: model.path }),
  };
}

const recipeEvent = ({ folder, config, recipe }: Planned): TrainEvent => ({
  kind: 'recipe',
  folder,
  config,
  recipe: recipe.map(({ what, value, reason }) => ({ what, value, reason: String(reason) })),
});

const comparedOf = ({ measure, pixels, before, after, chance }: ComparedRow): Compared => ({
  measure,
  ...(pixels !== undefined && { pixels }),
  ...(before !== undefined && { before }),
  after,
  ...(chance !== undefined && { chance }),
});
