/** Starts a worker; a missing or blocked script is reported instead of waited for. */

/**
 * @param start makes the worker: `new Worker(new URL(...))` must stand where the bundler sees it
 * @param failed called once, with what the worker can't do
 */
export function startWorker(
  start: () => Worker,
  { does, failed }: { readonly does: string; readonly failed: (message: string) => void },
): Worker | undefined {
  const tell = (why: string) => failed(`The part of the page that ${does} ${why}: reload the page.`);
  try {
    const worker = start();
    worker.addEventListener(
      'error',
      // A script that does not load gives an event without a message.
      ({ message }) => tell(message ? `stopped (${message})` : 'could not be loaded, or is blocked'),
      { once: true },
    );
    return worker;
  } catch (error) {
    tell(`could not be started (${(error as Error).message})`);
    return undefined;
  }
}
