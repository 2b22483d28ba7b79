/** One network of a method in a step under construction: the query encoder with its head, the key encoder. */
import { isBuffer, type TracedParams } from '../encoder.ts';
import type { Traced } from '../graph/trace.ts';

export interface BranchOptions {
  /** A second prefix whose values belong to it, under their whole names: the predictor of a query encoder. */
  readonly also?: string;
  /** Names of parameters that stay as they are: no optimizer and no average touches them. */
  readonly frozen?: ReadonlySet<string>;
}

export class Branch {
  readonly frozen: ReadonlySet<string>;
  /** Its values by name, without the prefix. Passes replace buffers, the EMA update replaces parameters. */
  params: TracedParams;
  private readonly prefix: string;
  private readonly also: string | undefined;

  /** @param state the traced state, of which it takes what is under its prefixes */
  constructor(state: TracedParams, prefix: string, { also, frozen = new Set() }: BranchOptions = {}) {
    this.prefix = prefix;
    this.also = also;
    this.frozen = frozen;
    this.params = {
      ...under(prefix, state),
      ...(also === undefined ? {} : prefixed(also, under(also, state))),
    };
  }

  /** What the state calls a value of this branch. */
  stateName(name: string): string {
    return this.also !== undefined && name.startsWith(`${this.also}.`) ? name : `${this.prefix}.${name}`;
  }

  /** The parameters that an optimizer updates. */
  trained(): [name: string, parameter: Traced][] {
    return Object.entries(this.params).filter(([name]) => !isBuffer(name) && !this.frozen.has(name));
  }
}

/** The entries of a record under `prefix.`, without the prefix. */
export function under<T>(prefix: string, record: Readonly<Record<string, T>>): Record<string, T> {
  const start = `${prefix}.`;
  return Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) =>
      name.startsWith(start) ? [[name.slice(start.length), value]] : [],
    ),
  );
}

/** A record with `prefix.` before each name. */
export function prefixed<T>(prefix: string, record: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}.${name}`, value]));
}
