/** Whether a backend that says it works is fast enough to train on. */

/** Milliseconds that a step may take: the first, for which kernels are compiled, and the next. */
export const LIMITS = [60_000, 5000] as const;

/**
 * Does two steps.
 * @returns why the backend is no place to train, to go on with "because"; undefined where it is one
 */
export async function slowness(step: () => Promise<unknown>): Promise<string | undefined> {
  for (const limit of LIMITS) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), limit);
    });
    const done = step();
    // It may fail after nobody waits for it any more.
    done.catch(() => undefined);
    try {
      if ((await Promise.race([done, late])) === 'late')
        return `a step on WebGPU takes more than ${limit / 1000} seconds here`;
    } finally {
      clearTimeout(timer);
    }
  }
  return undefined;
}

/** What is known of an adapter; older browsers know less. */
export interface Adapter {
  readonly isFallbackAdapter?: boolean;
  readonly info?: {
    readonly isFallbackAdapter?: boolean;
    readonly vendor?: string;
    readonly architecture?: string;
    readonly description?: string;
  };
}

/** The name of an adapter that computes on the processor; undefined for a graphics card. */
export function softwareName({ isFallbackAdapter, info }: Adapter): string | undefined {
  const name = [info?.vendor, info?.architecture, info?.description].filter(Boolean).join(' ');
  const software = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i.test(name);
  return isFallbackAdapter || info?.isFallbackAdapter || software ? name || 'fallback adapter' : undefined;
}
