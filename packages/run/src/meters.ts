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

/** The loss, the method's metrics by their names, the seconds of a step and those of them in which it waited for data. */
export type Meters = Record<string, Meter> & Record<'loss' | 'time' | 'data', Meter>;
export type MeterStates = Readonly<Record<string, MeterState>>;

/** A metric has its meter from its first value on. */
export function createMeters(states: MeterStates = {}): Meters {
  const kept = Object.entries(states).map(([name, state]) => [name, new Meter(state)]);
  return { loss: new Meter(), time: new Meter(), data: new Meter(), ...Object.fromEntries(kept) };
}

export function meterStates(meters: Meters): MeterStates {
  return Object.fromEntries(Object.entries(meters).map(([name, { state }]) => [name, state]));
}

/** An epoch's means of what steps tell, times apart. */
export function metricMeans({ time: _, data: __, ...metrics }: Meters): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).map(([name, { average }]) => [name, average]));
}
