/** A pinned file of a Python package: a zip. */
export interface Wheel {
  /** Its name in a package index. */
  readonly package: string;
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly licence: string;
}
