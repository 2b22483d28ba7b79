import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LIMITS, slowness, softwareName } from './trial.ts';

describe('slowness', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const taking = (...times: number[]) => {
    const step = () => new Promise<void>((resolve) => setTimeout(resolve, times.shift()));
    return slowness(step);
  };

  it('gives a backend time to compile, and then none', async () => {
    const quick = taking(LIMITS[0] - 1, LIMITS[1] - 1);
    await vi.advanceTimersByTimeAsync(LIMITS[0] + LIMITS[1]);
    expect(await quick).toBeUndefined();
    const compiling = taking(LIMITS[0] + 1);
    await vi.advanceTimersByTimeAsync(LIMITS[0]);
    expect(await compiling).toBe('a step on WebGPU takes more than 60 seconds here');
    const slow = taking(10, LIMITS[1] + 1);
    await vi.advanceTimersByTimeAsync(10 + LIMITS[1]);
    expect(await slow).toBe('a step on WebGPU takes more than 5 seconds here');
    // A step that never ends holds nothing up.
    expect(vi.getTimerCount()).toBeLessThanOrEqual(2);
  });
  it('passes on a failure of the step that is timed', async () => {
    await expect(slowness(() => Promise.reject(new Error('no memory')))).rejects.toThrow('no memory');
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('an adapter', () => {
  it.each([
    [{ info: { vendor: 'google', architecture: 'swiftshader' } }, 'google swiftshader'],
    [
      { info: { vendor: 'mesa', description: 'llvmpipe (LLVM 17.0.6, 256 bits)' } },
      'mesa llvmpipe (LLVM 17.0.6, 256 bits)',
    ],
    [
      { info: { vendor: 'microsoft', description: 'Microsoft Basic Render Driver' } },
      'microsoft Microsoft Basic Render Driver',
    ],
    [{ isFallbackAdapter: true }, 'fallback adapter'],
    [{ info: { vendor: 'x', isFallbackAdapter: true } }, 'x'],
  ])('%o is software', (adapter, name) => {
    expect(softwareName(adapter)).toBe(name);
  });
  it.each([
    [
      {
        info: { vendor: 'nvidia', architecture: 'ampere', isFallbackAdapter: false },
        isFallbackAdapter: false,
      },
    ],
    [{ info: { vendor: 'intel', architecture: 'gen-12lp' } }],
    [{}],
  ])('%o is a graphics card', (adapter) => {
    expect(softwareName(adapter)).toBeUndefined();
  });
});
