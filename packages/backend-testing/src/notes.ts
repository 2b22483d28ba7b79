/** What a test leaves for the reporter that collects the matrix of docs/backends.md (scripts/kit-reporter.mjs). */

export interface KitNote {
  /** The worst error as a part of the allowed one, 0 to 1. */
  readonly error: number;
  /** The kit's tolerance for one op. */
  readonly tolerance: number;
}

/** Notes what a test of the kit measured. */
export function note(task: { readonly meta: object }, kit: KitNote): void {
  Object.assign(task.meta, { kit });
}
