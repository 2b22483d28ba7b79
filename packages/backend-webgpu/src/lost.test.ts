import { describe, expect, it, vi } from 'vitest';
import { guardOf } from './lost.ts';

function device() {
  let lose: (value: { message: string }) => void = () => {};
  const lost = new Promise<{ message: string }>((resolve) => {
    lose = resolve;
  });
  return { lost, lose };
}

describe('a guard', () => {
  it('gives what work gives, or the error that it ends with', async () => {
    const guard = guardOf(device());
    expect(await guard(Promise.resolve(1))).toBe(1);
    await expect(guard(Promise.reject(new Error('of its own')))).rejects.toThrow('of its own');
  });
  it('rejects what waits for a device that is lost, and all that comes later', async () => {
    const { lost, lose } = device();
    const guard = guardOf({ lost });
    const waits = guard(new Promise(() => undefined));
    lose({ message: 'It was unplugged.\nmore' });
    await expect(waits).rejects.toThrow(/^the GPU was lost \(It was unplugged\), and what it held/);
    await expect(waits).rejects.toMatchObject({ code: 'device-lost' });
    await expect(guard(Promise.resolve(1))).rejects.toThrow(/^the GPU was lost/);
  });
  it('keeps nothing of work that is done', async () => {
    const { lost } = device();
    const followed = vi.spyOn(lost, 'then');
    const guard = guardOf({ lost });
    for (let i = 0; i < 100; i++) await guard(Promise.resolve(i));
    expect(followed).toHaveBeenCalledTimes(1);
  });
});
