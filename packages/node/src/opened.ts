/** Backends, pools and files that are open: closed in the reverse order, also when what follows fails. */

type Closable = { dispose(): unknown } | { close(): unknown };

/** Takes what was just opened, and gives it back. */
export type Keep = <T extends Closable>(opened: T) => T;

/**
 * Opens things, uses them and closes them.
 * @throws what `use` throws; else what closing throws
 */
export async function withOpened<T>(use: (keep: Keep) => Promise<T>): Promise<T> {
  const { result, dispose } = await openTogether(async (keep) => ({ result: await use(keep) }));
  await dispose();
  return result;
}

/**
 * Opens things for the caller, who closes them by `dispose`. If `open` fails, those that are open by then are closed.
 * @throws what `open` throws
 */
export async function openTogether<T extends object>(
  open: (keep: Keep) => Promise<T>,
): Promise<T & { dispose(): Promise<void> }> {
  const kept: Closable[] = [];
  const dispose = async () => {
    const failures: unknown[] = [];
    for (const opened of kept.splice(0).reverse())
      try {
        await ('dispose' in opened ? opened.dispose() : opened.close());
      } catch (error) {
        failures.push(error);
      }
    if (failures.length > 0) throw failures[0];
  };
  try {
    const keep: Keep = (opened) => {
      kept.push(opened);
      return opened;
    };
    return Object.assign(await open(keep), { dispose });
  } catch (error) {
    // What failed first is what there is to tell.
    await dispose().catch(() => undefined);
    throw error;
  }
}
