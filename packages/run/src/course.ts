/** How far a training is, and when it ends: by its epochs, by the clock, or step by step as another one was. */

/** Where a run stands: the next step to take. */
export interface Position {
  /** From 0. */
  readonly epoch: number;
  /** Steps of that epoch that are done. */
  readonly step: number;
  /** Steps of the whole run that are done. */
  readonly globalStep: number;
}

/** What schedules follow. */
export interface Course {
  /** Steps that may still begin; Infinity where nobody knows. Below 1 the training is over. */
  stepsLeft(at: Position): number;
  /** The share of the training that is done when a step begins, in [0, 1). */
  progress(at: Position): number;
  /** A step has been booked. @param seconds it took */
  booked?(seconds: number): void;
  /** Does something that comes between steps, and once more behind the last. @param what it is known by */
  between<T>(what: string, act: () => Promise<T>): Promise<T>;
  /** Whether there is time to do so before the training is over, and for a step behind it. */
  hasTimeFor(what: string): boolean;
  /** Where the clock decides: */
  readonly time?: RunTime;
}

/** The time of a run that goes by the clock. */
export interface RunTime {
  /** Seconds that it has in all. */
  readonly total: number;
  /** Seconds of them that are gone, by earlier commands too. */
  readonly spent: number;
  /** Seconds until training ends. */
  readonly left: number;
  /** What a checkpoint keeps. @param at the next step */
  record(at: Position): TimeRecord;
}

/** What a checkpoint tells of a run's time. */
export interface TimeRecord {
  /** Seconds that are gone. */
  readonly spent: number;
  /** The share of the training that is done; 1: its time is over. */
  readonly progress: number;
}

/** Where it doesn't matter how long something takes. */
const atLeisure: Pick<Course, 'between' | 'hasTimeFor'> = {
  between: (_, act) => act(),
  hasTimeFor: () => true,
};

/** @param epochs in all, or Infinity */
export const byEpochs = (epochs: number, stepsPerEpoch: number): Course => ({
  ...atLeisure,
  stepsLeft: ({ epoch, step }) => (epochs - epoch) * stepsPerEpoch - step,
  progress: ({ epoch, step }) => (epoch + step / stepsPerEpoch) / epochs,
});

/**
 * Each step at the progress that it had in another run, whose last step is the last here too.
 * @param values by the step of the run
 */
export const asRecorded = (values: readonly number[], epochs: Course): Course => ({
  ...atLeisure,
  stepsLeft: (at) => Math.min(values.length - at.globalStep, epochs.stepsLeft(at)),
  progress: ({ globalStep }) => values[globalStep]!,
});

export interface TimePlan {
  /** Milliseconds since some time, never less than before. */
  readonly clock: () => number;
  /** When, by the clock, this command began. Default now. */
  readonly began?: number;
  /** Seconds that the run has in all, from the beginning of its first command to the end of its last. */
  readonly time: number;
  /** Seconds of them for what follows the training. Default 0. */
  readonly reserve?: number;
  /** Seconds that something takes which comes between steps and behind the last, where it is known before it was done. */
  readonly following?: Readonly<Record<string, number>>;
  /** Seconds that earlier commands spent. Default 0. */
  readonly spent?: number;
  /** The share of the training that they did. Default 0. */
  readonly progress?: number;
  /** The first step to take. */
  readonly from: Position;
  /** A limit of epochs: what ends first, ends the training, and leads its schedules. */
  readonly epochs: Course;
}

/** Steps, of which the median tells how long the next one takes. */
const LATELY = 9;
/** A step of more than a minute, and of more than so many usual ones, is a pause of the machine: sleep, or a stopped process. */
const PAUSE = { seconds: 60, steps: 20, known: 3 };
/** The largest number below 1. */
const ALMOST = 1 - Number.EPSILON / 2;

/**
 * A training that ends by the clock. Progress grows with each reading by the part of what is left that went by since the last: it ends
 * at 1 with the time, goes on without a jump where a run is resumed or the end moves, and doesn't depend on how fast steps are. All that
 * happens counts, also between steps; pauses of the machine within a step do not.
 */
export class TimeCourse implements Course {
  private readonly plan: TimePlan;
  /** When the run's time would have begun, had one command taken all of it without a pause. */
  private origin: number;
  private readAt: number;
  /** Whether a step has begun: what goes by before is no part of the training. */
  private begun = false;
  private done: number;
  /** Steps of the run that are booked. */
  private steps: number;
  /** Seconds of pauses since the last of them. */
  private paused = 0;
  private readonly lately: number[] = [];
  private readonly following: Map<string, number>;

  constructor(plan: TimePlan) {
    const { clock, spent = 0, progress = 0, from, following = {} } = plan;
    this.plan = plan;
    this.following = new Map(Object.entries(following));
    this.readAt = clock();
    this.origin = (plan.began ?? this.readAt) - 1000 * spent;
    this.done = Math.min(1, progress);
    this.steps = from.globalStep;
  }

  stepsLeft(at: Position): number {
    return Math.min(this.ownStepsLeft(at), this.plan.epochs.stepsLeft(at));
  }

  progress(at: Position): number {
    this.read(at.globalStep > this.steps);
    this.begun = true;
    return Math.min(ALMOST, Math.max(this.done, this.plan.epochs.progress(at)));
  }

  booked(seconds: number): void {
    this.read(true);
    this.lately.push(Math.max(0, seconds - this.paused));
    if (this.lately.length > LATELY) this.lately.shift();
    this.paused = 0;
    this.steps++;
  }

  /** The time that it takes is kept free behind the training. */
  async between<T>(what: string, act: () => Promise<T>): Promise<T> {
    const begun = this.plan.clock();
    try {
      return await act();
    } finally {
      this.following.set(what, (this.plan.clock() - begun) / 1000);
    }
  }

  hasTimeFor(what: string): boolean {
    return (this.following.get(what) ?? 0) + this.usual() < this.left();
  }

  get time(): RunTime {
    const left = this.left();
    return {
      total: this.plan.time,
      spent: (this.plan.clock() - this.origin) / 1000,
      left: Math.max(0, left),
      record: (at) => {
        const isOver = this.ownStepsLeft(at) < 1;
        return { spent: (this.readAt - this.origin) / 1000, progress: isOver ? 1 : this.done };
      },
    };
  }

  private ownStepsLeft({ globalStep }: Position): number {
    this.read(globalStep > this.steps);
    const left = this.left(this.readAt);
    if (this.done === 1 || left <= 0) return 0;
    const usual = this.usual();
    return usual > 0 ? Math.floor(left / usual) - (globalStep - this.steps) : Number.POSITIVE_INFINITY;
  }

  /** Seconds from a moment, by default now, until training ends. */
  private left(from = this.plan.clock()): number {
    const { time, reserve = 0 } = this.plan;
    const following = [...this.following.values()].reduce((sum, seconds) => sum + seconds, 0);
    return time - reserve - following - (from - this.origin) / 1000;
  }

  /** @param inStep since the last reading a step was under way, which has a usual length */
  private read(inStep = false): void {
    const now = this.plan.clock();
    if (!this.begun) this.readAt = now;
    const usual = this.usual();
    const gap = (now - this.readAt) / 1000;
    const isPause =
      inStep && this.lately.length >= PAUSE.known && gap > Math.max(PAUSE.seconds, PAUSE.steps * usual);
    const pause = isPause ? gap - usual : 0;
    const left = this.left(this.readAt);
    const passed = gap - pause;
    this.done += (1 - this.done) * (passed < left ? passed / left : 1);
    this.origin += 1000 * pause;
    this.paused += pause;
    this.readAt = now;
  }

  /** Seconds of a step. */
  private usual(): number {
    const sorted = [...this.lately].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  }
}
