/** What a pickle may hold here. */

/** A storage's bytes, not read yet. */
export interface Storage {
  readonly kind: 'storage';
  readonly key: string;
  /** The element type by PyTorch's name, such as `float32`; `untyped`: bytes. */
  readonly dtype: string;
  /** How many elements; bytes of an untyped storage. */
  readonly elements: number;
  /** Where it begins within the bytes stored under its key, in elements: legacy files have views of storages. */
  readonly start: number;
}

/** A strided view of a storage, not read yet. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly storage: Storage;
  readonly dtype: string;
  /** In elements, as the strides. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export interface Tuple {
  readonly kind: 'tuple';
  readonly items: readonly Value[];
}

/** A class or function that stands for itself until it is called; none of them is Python's. */
export interface Callable {
  readonly kind: 'callable';
  readonly name: string;
  call(args: readonly Value[], meter: Meter): Value;
}

/** `torch.float32` */
export interface ElementTypeName {
  readonly kind: 'dtype';
  readonly dtype: string;
}

/** `torch.FloatStorage` */
export interface StorageTypeName {
  readonly kind: 'storage-type';
  readonly dtype: string;
}

/** Keys of a dict: Python's hashable plain values. */
export type Key = null | boolean | number | bigint | string | Tuple;
export type Dict = Map<Key, Value>;

/** None, bool, int, float, str, bytes, list, tuple, dict, set, and PyTorch's. */
export type Value =
  | Key
  | Uint8Array
  | Value[]
  | Dict
  | Set<Key>
  | Storage
  | TensorRef
  | Callable
  | ElementTypeName
  | StorageTypeName;

/** Counts what a pickle makes, so that a small file can't ask for much. */
export interface Meter {
  /** @throws when a pickle has made too much. */
  spend(units: number): void;
}

export function isKind<K extends 'storage' | 'tensor' | 'tuple' | 'callable' | 'dtype' | 'storage-type'>(
  value: Value | undefined,
  kind: K,
): value is Extract<Value, { readonly kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind;
}

/** Whether a value may be a dict's key or in a set: Python calls it hashable. */
export function isKey(value: Value | undefined): value is Key {
  if (value === null || isKind(value, 'tuple')) return true;
  return typeof value !== 'object' && value !== undefined;
}
