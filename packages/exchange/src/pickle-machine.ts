/** The machine behind `pickle.ts`: a stack, marks in it, and a memo, as Python's, but with values of this package alone. */
import { printable } from '@moco-ts/core';
import { PickleError, PickleReader, RefusedError } from './pickle-reader.ts';
import { type Callable, type Dict, isKey, isKind, type Key, type Meter, type Value } from './values.ts';

/** What a pickle may ask its surroundings for. */
export interface PickleHost {
  /** The counterpart of a dotted name, or undefined to refuse it. */
  global(name: string): Value | undefined;
  /** A storage, by PyTorch's persistent id. @throws PickleError */
  persistent(id: Value): Value;
}

/** Values that a pickle may make, its stack included: ten times what a network of 10,000 tensors has. */
const maxValues = 2_000_000;

export class Machine implements Meter {
  readonly reader: PickleReader;
  readonly #host: PickleHost;
  readonly #stack: Value[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();
  /** The dicts that stand for an argparse.Namespace, whose attributes come later. */
  readonly #namespaces = new Set<Value>();
  #left: number = maxValues;

  constructor(bytes: Uint8Array, start: number, host: PickleHost) {
    this.reader = new PickleReader(bytes, start);
    this.#host = host;
  }

  spend(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw new PickleError('it holds more values than any network has');
  }

  /** The value that is left at the end. */
  result(): Value {
    const value = this.#pop();
    if (this.#stack.length > 0) throw new PickleError('it ends with values left over');
    return value;
  }

  push(value: Value): void {
    this.spend(1);
    this.#stack.push(value);
  }

  #pop(): Value {
    const least = this.#marks.at(-1) ?? 0;
    if (this.#stack.length <= least) throw new PickleError('its stack is empty');
    return this.#stack.pop()!;
  }

  pop(): Value {
    return this.#pop();
  }

  /** The value on top, which stays. */
  top(): Value {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  mark(): void {
    this.spend(1);
    this.#marks.push(this.#stack.length);
  }

  /** The values above the last mark. */
  marked(): Value[] {
    const from = this.#marks.pop();
    if (from === undefined) throw new PickleError('a mark is missing');
    return this.#stack.splice(from);
  }

  tuple(count: number): void {
    const items: Value[] = [];
    for (let i = 0; i < count; i++) items.unshift(this.#pop());
    this.push({ kind: 'tuple', items });
  }

  put(index: number): void {
    if (!this.#memo.has(index)) this.spend(1);
    this.#memo.set(index, this.top());
  }
  memoize(): void {
    this.put(this.#memo.size);
  }
  get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleError(`its memo has no ${index}`);
    this.push(value);
  }

  /** Python's POP takes a mark away if that is on top. */
  drop(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.#pop();
  }

  append(items: readonly Value[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new PickleError('it appends to what is no list');
    for (const item of items) list.push(item);
  }

  setItems(pairs: readonly Value[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw new PickleError('it sets items of what is no dict');
    if (pairs.length % 2 !== 0) throw new PickleError('a key of a dict has no value');
    for (let i = 0; i < pairs.length; i += 2) dict.set(asKey(pairs[i]!), pairs[i + 1]!);
  }

  addItems(items: readonly Value[]): void {
    const set = this.top();
    if (!(set instanceof Set)) throw new PickleError('it adds to what is no set');
    for (const item of items) set.add(asKey(item));
  }

  global(module: string, name: string, at: number): void {
    const full = `${module}.${name}`;
    const value = this.#host.global(full);
    if (value === undefined) throw new RefusedError(printable(full), at);
    this.push(value);
  }

  stackGlobal(at: number): void {
    const [name, module] = [this.#pop(), this.#pop()];
    if (typeof name !== 'string' || typeof module !== 'string')
      throw new PickleError('a name of a class is no text');
    this.global(module, name, at);
  }

  /** `callable(*args)` */
  reduce(at: number): void {
    const [args, target] = [this.#pop(), this.#pop()];
    this.push(callableOf(target, at).call(argumentsOf(args), this));
  }

  /** `class.__new__(class, *args)`: of namespaces alone. */
  newObject(at: number): void {
    const [args, target] = [this.#pop(), this.#pop()];
    const { name, call } = callableOf(target, at);
    const made = call(argumentsOf(args), this);
    if (name === 'argparse.Namespace') this.#namespaces.add(made);
    this.push(made);
  }

  /** Attributes: those of a namespace are its items, those of an OrderedDict (`_metadata`) stand beside its items. */
  build(at: number): void {
    const state = this.#pop();
    const target = this.top();
    if (!(target instanceof Map) || !(state instanceof Map))
      throw new RefusedError('attributes of what is no plain container', at);
    if (!this.#namespaces.has(target)) {
      attributes.set(target, state);
      return;
    }
    this.spend(state.size);
    for (const [key, value] of state) target.set(key, value);
  }

  persistent(): void {
    this.push(this.#host.persistent(this.#pop()));
  }
}

const attributes = new WeakMap<Dict, Dict>();

/** What an OrderedDict of a pickle has beside its items. */
export function attributesOf(dict: Dict): Dict | undefined {
  return attributes.get(dict);
}

function callableOf(value: Value, at: number): Callable {
  if (isKind(value, 'callable')) return value;
  throw new RefusedError('a call of what is no function', at);
}

function argumentsOf(value: Value): readonly Value[] {
  if (isKind(value, 'tuple')) return value.items;
  throw new PickleError('the arguments of a call are no tuple');
}

/** A value that can be a key. */
export function asKey(value: Value): Key {
  if (isKey(value)) return value;
  throw new PickleError('a key of a dict is no plain value');
}
