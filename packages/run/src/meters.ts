/** A mean over an epoch. */
export class Meter {
  last = 0;
  private sum: number;
  private count: number;

  constructor({ sum, count }: MeterState = { sum: 0, count: 0 }) {
    this.sum = sum;
    this.count = count;
  }

  add(value: number): void {
    this.last = value;
    this.sum += value;
    this.count++;
  }

  /** 0 before the first value. */
  get average(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  get state(): MeterState {
    return { sum: this.sum, count: this.count };
  }
}

/** What a mid-epoch checkpoint keeps, so that the epoch's means are those of a run that never stopped. */
export interface MeterState {
  readonly sum: number;
  readonly count: number;
}

/** What a step tells. */
export const metricNames = ['loss', 'acc1', 'acc5', 'featureStd'] as const;
const names = [...metricNames, 'time', 'data'] as const;
export type MeterName = (typeof names)[number];
export type Meters = Readonly<Record<MeterName, Meter>>;
export type MeterStates = Readonly<Record<MeterName, MeterState>>;

export function createMeters(states?: MeterStates): Meters {
  return Object.fromEntries(names.map((name) => [name, new Meter(states?.[name])])) as Record<
    MeterName,
    Meter
  >;
}

export function meterStates(meters: Meters): MeterStates {
  return Object.fromEntries(names.map((name) => [name, meters[name].state])) as Record<MeterName, MeterState>;
}
