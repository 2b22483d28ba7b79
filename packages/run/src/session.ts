/**
 * One training, for any model and place. A {@link Session} begins steps and books their metrics in order; {@link runSession}
 * goes through the epochs. Files, terminals and pages are the caller's.
 */
import type { Tensor, Trainer } from '@moco-ts/core';
import { byEpochs, type Course, type Position, type TimeRecord } from './course.ts';
import { createMeters, Meter, type MeterStates, type Meters, meterStates } from './meters.ts';
import type { Moment } from './method.ts';

/** A run's state after a step. */
export interface Progress {
  readonly epoch: number;
  /** In all; Infinity where time alone ends the run. */
  readonly epochs: number;
  /** Steps of this epoch that are done. */
  readonly step: number;
  readonly steps: number;
  /** Steps of the run that are done. */
  readonly globalStep: number;
  readonly meters: Meters;
  readonly learningRate: number;
  /** Images per second, lately. */
  readonly rate: number;
  /** Until the end of the training. */
  readonly etaSeconds: number;
  /** The share of the training that is done, in [0, 1]. */
  readonly done: number;
  /** Of a run that goes by the clock: seconds that are gone, and that it has in all. */
  readonly time?: { readonly spent: number; readonly total: number };
}

/** A step whose metrics are there. */
export interface StepInfo {
  /** Where it was taken. */
  readonly at: Moment;
  readonly learningRate: number;
  readonly metrics: Record<string, number>;
  /** Since the step before was booked, or since this one's batch was asked for if that was later. */
  readonly seconds: number;
  /** Seconds until its batch was there. */
  readonly waited: number;
  readonly progress: Progress;
}

/** A step that has begun. */
export interface BegunStep<B> {
  readonly at: Position;
  readonly batch: B;
  readonly result: Promise<StepInfo>;
}

/** What a checkpoint tells of a training beside its state and its position. */
export interface SessionRecord {
  /** The newest losses, the last one last. */
  readonly losses: readonly number[];
  /** In mid-epoch: the epoch's means so far. */
  readonly meters?: MeterStates;
  /** Of a run that goes by the clock. */
  readonly time?: TimeRecord;
}

/** @typeParam B a batch */
export interface SessionOptions<B> {
  readonly trainer: Pick<Trainer, 'step'>;
  /** In all; Infinity where the course alone ends it. */
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  /** What schedules follow, and when it ends. Default by its epochs. */
  readonly course?: Course | undefined;
  /** Images in a batch. */
  readonly batchSize: number;
  /** Where it begins or resumes. */
  readonly position: Position;
  /** What was reported of it there. */
  readonly record?: SessionRecord | undefined;
  /** The batches of an epoch from a step on. One is asked for ahead, so that data and compute go side by side. */
  batches(epoch: number, fromStep: number): AsyncIterable<B>;
  feeds(batch: B, at: Moment): Record<string, Tensor>;
  rate(at: Moment): number;
  /** Whether a step may begin before the metrics of the last are there, so that a device is not kept waiting for what is made of them. */
  readonly overlapping?: boolean | undefined;
  /** Milliseconds since some time. */
  clock(): number;
  /** The error for a loss that is not finite, which ends the session. */
  diverged(loss: number, at: Position): Error | Promise<Error>;
  /** Called with each step in order; the next is booked when the call is done. */
  onStep?(info: StepInfo): void | Promise<void>;
}

/** Losses that a checkpoint carries along. */
const HISTORY = 20;

/** A running training. Calls of `begin` must not overlap. */
export class Session<B> {
  /** Steps that may be in flight when the next one begins. */
  readonly most: number;
  private readonly options: SessionOptions<B>;
  private readonly course: Course;
  private next: Position;
  private losses: readonly number[];
  private meters: Meters;
  private readonly pace = createPace();
  private batches: AsyncIterator<B> | undefined;
  /** The next batch. */
  private pending: Promise<IteratorResult<B>> | undefined;
  /** The batch of a step that failed and is to be taken again. */
  private again: B | undefined;
  /** Ends when all steps so far are booked, or have failed. */
  private booked: Promise<unknown> = Promise.resolve();
  private bookedAt = Number.NEGATIVE_INFINITY;
  private fault: Error | undefined;

  constructor(options: SessionOptions<B>) {
    const { position, record } = options;
    this.options = options;
    this.course = options.course ?? byEpochs(options.epochs, options.stepsPerEpoch);
    this.most = options.overlapping ? 1 : 0;
    this.next = position;
    this.losses = record?.losses ?? [];
    this.meters = createMeters(position.step > 0 ? record?.meters : undefined);
  }

  /** The next step to begin. */
  get position(): Position {
    return this.next;
  }

  /** Whether all steps have begun. */
  get ended(): boolean {
    return this.course.stepsLeft(this.next) < 1;
  }

  /** The share of the training that is done when the next step begins, by its own course. */
  get ownProgress(): number {
    return this.course.progress(this.next);
  }

  /** Whether it can't go on: its state is lost. */
  get broken(): boolean {
    return this.fault !== undefined;
  }

  /** @throws the error by which it is broken */
  check(): void {
    if (this.fault) throw this.fault;
  }

  /**
   * Begins a step; undefined after the last.
   * @param agreed the progress at which it is taken, by those who share the training and know that it goes on. Default its own course's
   * @throws what making the batch throws, and the error by which the session is broken
   */
  async begin(agreed?: number): Promise<BegunStep<B> | undefined> {
    this.check();
    if (agreed === undefined && this.ended) return undefined;
    const { trainer, feeds, rate, clock, stepsPerEpoch } = this.options;
    const { epoch, step, globalStep } = this.next;
    const at = { epoch, step, globalStep, progress: agreed ?? this.ownProgress };
    const asked = clock();
    const { again } = this;
    const batch = again ?? (await this.nextBatch());
    const waited = (clock() - asked) / 1000;
    this.again = undefined;
    if (again === undefined && step + 1 < stepsPerEpoch) this.askAhead();
    const learningRate = rate(at);
    const running = trainer.step(feeds(batch, at), learningRate, globalStep);
    // A caller that waits for an earlier step sees the failure only then.
    running.catch(() => undefined);
    const result = this.booked
      .then(() => running)
      .then(
        (metrics) => this.book({ at, learningRate, asked, waited }, metrics),
        (error: Error) => this.takeBack(at, batch, error),
      );
    this.booked = result.catch(() => undefined);
    this.next = this.behind(at);
    return { at, batch, result };
  }

  /**
   * Waits until all steps that have begun are booked, or have failed.
   * @throws the error by which the session is broken
   */
  async settle(): Promise<void> {
    await this.booked;
    this.check();
  }

  /** What a checkpoint tells, once all is settled. */
  record(): SessionRecord {
    const { losses, next, meters } = this;
    const time = this.course.time?.record(next);
    return { losses, ...(next.step > 0 && { meters: meterStates(meters) }), ...(time && { time }) };
  }

  /** Waits for the steps in flight and releases the batches. */
  async close(): Promise<void> {
    await this.booked;
    await this.batches?.return?.();
  }

  private async nextBatch(): Promise<B> {
    const { epoch, step } = this.next;
    if (step === 0 || !this.batches) {
      this.batches = this.options.batches(epoch, step)[Symbol.asyncIterator]();
      this.askAhead();
    }
    const { value, done } = await this.pending!;
    if (done) throw new Error(`the batches of epoch ${epoch} ended at step ${step}`);
    return value;
  }

  /** A failure is met when the batch is awaited, not before. */
  private askAhead(): void {
    this.pending = this.batches!.next();
    this.pending.catch(() => undefined);
  }

  private async book(
    { at, learningRate, asked, waited }: { at: Moment; learningRate: number; asked: number; waited: number },
    tensors: Readonly<Record<string, Tensor>>,
  ): Promise<StepInfo> {
    this.check();
    const { clock, diverged, onStep } = this.options;
    const now = clock();
    const seconds = (now - Math.max(asked, this.bookedAt)) / 1000;
    // While the step before still computed, nothing waited.
    const idle = this.bookedAt > asked ? Math.max(0, waited - (this.bookedAt - asked) / 1000) : waited;
    this.bookedAt = now;
    this.course.booked?.(seconds);
    const metrics = Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data[0]!]));
    const loss = metrics.loss!;
    if (!Number.isFinite(loss)) this.fault = await diverged(loss, at);
    this.check();
    if (at.step === 0) this.meters = createMeters();
    for (const [name, value] of Object.entries(metrics)) {
      this.meters[name] ??= new Meter();
      this.meters[name].add(value);
    }
    this.meters.time.add(seconds);
    this.meters.data.add(idle);
    this.pace.add(seconds);
    this.losses = [...this.losses.slice(1 - HISTORY), loss];
    const info = {
      at,
      learningRate,
      metrics,
      seconds,
      waited: idle,
      progress: this.progress(at, learningRate),
    };
    await onStep?.(info);
    return info;
  }

  /**
   * A step that failed has updated nothing, though running statistics may have moved, and may be taken again; but one that began behind
   * it had the state of another training.
   */
  private takeBack({ progress: _, ...at }: Moment, batch: B, error: Error): never {
    if (this.next.globalStep === at.globalStep + 1) [this.next, this.again] = [at, batch];
    else this.fault ??= error;
    throw error;
  }

  private progress({ epoch, step, globalStep }: Position, learningRate: number): Progress {
    const { epochs, stepsPerEpoch, batchSize } = this.options;
    const { meters, course } = this;
    const seconds = this.pace.average();
    const next = this.behind({ epoch, step, globalStep });
    const { time } = course;
    const left = course.stepsLeft(next);
    return {
      epoch,
      epochs,
      step: step + 1,
      steps: stepsPerEpoch,
      globalStep: globalStep + 1,
      meters,
      learningRate,
      rate: batchSize / seconds,
      etaSeconds: Number.isFinite(left) ? Math.min(left * seconds, time?.left ?? left * seconds) : time!.left,
      done: left < 1 ? 1 : course.progress(next),
      ...(time && { time: { spent: time.spent, total: time.total } }),
    };
  }

  /** The place of the step behind one. */
  private behind({ epoch, step, globalStep }: Position): Position {
    const last = step + 1 === this.options.stepsPerEpoch;
    return { epoch: last ? epoch + 1 : epoch, step: last ? 0 : step + 1, globalStep: globalStep + 1 };
  }
}

/** Whether a training goes on with a step, and the progress at which that is taken. */
export interface NextStep {
  readonly goesOn: boolean;
  readonly progress: number;
}

/** What a training that goes through its epochs stops for and does beside its steps. */
export interface SessionControl {
  /** Set from outside to stop after the current step. */
  readonly stop: { readonly requested: boolean };
  /** Steps of the whole run. */
  readonly maxSteps?: number | undefined;
  /** Of a training that several processes share: what all of them do next, by what one of them would. Before each step. */
  agree?(own: NextStep): Promise<NextStep>;
  /** An epoch is done and booked. @param epoch epochs that are done */
  onEpoch(epoch: number, progress: Progress): Promise<void>;
  /** In mid-epoch, after so many steps of the run: */
  readonly saveEverySteps?: number | undefined;
  save?(): Promise<void>;
}

/**
 * Goes through the epochs, until the end of its course, `maxSteps` or a stop; then all steps are booked.
 * @returns whether its course is at its end
 * @throws what a step, a batch or a hook throws
 */
export async function runSession<B>(session: Session<B>, control: SessionControl): Promise<boolean> {
  const { stop, maxSteps = Number.POSITIVE_INFINITY, onEpoch } = control;
  const mayGoOn = () => !session.ended && !stop.requested && session.position.globalStep < maxSteps;
  try {
    for (;;) {
      const last = await runEpoch(session, control, mayGoOn);
      if (!last || session.position.step > 0) break;
      await onEpoch(session.position.epoch, last.progress);
    }
    return session.ended;
  } finally {
    await session.close();
  }
}

/** @returns the last step of the epoch, or of those before a stop */
async function runEpoch<B>(
  session: Session<B>,
  { saveEverySteps, save, agree }: SessionControl,
  mayGoOn: () => boolean,
): Promise<StepInfo | undefined> {
  const { epoch } = session.position;
  const underWay: Promise<StepInfo>[] = [];
  let last: StepInfo | undefined;
  const settle = async (remaining: number) => {
    while (underWay.length > remaining) last = await underWay.shift();
  };
  while (session.position.epoch === epoch) {
    const goesOn = mayGoOn();
    const next = agree && (await agree({ goesOn, progress: goesOn ? session.ownProgress : 0 }));
    if (!(next?.goesOn ?? goesOn)) break;
    const begun = await session.begin(next?.progress);
    if (!begun) break;
    underWay.push(begun.result);
    await settle(session.most);
    const { step, globalStep } = session.position;
    if (save && saveEverySteps && step > 0 && globalStep % saveEverySteps === 0) {
      await settle(0);
      await save();
    }
  }
  await settle(0);
  return last;
}

/** The mean seconds per step, lately. @param window steps */
function createPace(window = 50) {
  const times: number[] = [];
  return {
    add: (seconds: number) => {
      times.push(seconds);
      if (times.length > window) times.shift();
    },
    average: () => times.reduce((sum, value) => sum + value, 0) / Math.max(1, times.length),
  };
}
