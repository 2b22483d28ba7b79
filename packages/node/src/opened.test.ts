import { expect, it } from 'vitest';
import { type Keep, openTogether, withOpened } from './opened.ts';

/** Things that tell when they are closed. */
function things() {
  const closed: string[] = [];
  const open = (keep: Keep, name: string, fails = false) =>
    keep({
      name,
      close: async () => {
        closed.push(name);
        if (fails) throw new Error(`${name} does not close`);
      },
    });
  return { closed, open };
}

it('closes what was used, the last first, and gives the result', async () => {
  const { closed, open } = things();
  const result = await withOpened(async (keep) => {
    const [a, b] = [open(keep, 'a'), open(keep, 'b')];
    keep({ dispose: () => closed.push('c') });
    expect(closed).toEqual([]);
    return a.name + b.name;
  });
  expect([result, closed]).toEqual(['ab', ['c', 'b', 'a']]);
});

it('closes all when something fails, and tells of the first failure', async () => {
  const { closed, open } = things();
  const using = withOpened(async (keep) => {
    open(keep, 'a');
    open(keep, 'b', true);
    throw new Error('the use failed');
  });
  await expect(using).rejects.toThrow('the use failed');
  expect(closed).toEqual(['b', 'a']);
  const closing = withOpened(async (keep) => {
    open(keep, 'c');
    open(keep, 'd', true);
  });
  await expect(closing).rejects.toThrow('d does not close');
  expect(closed).toEqual(['b', 'a', 'd', 'c']);
});

it('leaves what is opened for the caller open, and closes it once', async () => {
  const { closed, open } = things();
  const both = await openTogether(async (keep) => ({ a: open(keep, 'a'), b: open(keep, 'b') }));
  expect([both.a.name, closed]).toEqual(['a', []]);
  await both.dispose();
  await both.dispose();
  expect(closed).toEqual(['b', 'a']);
  const failing = openTogether(async (keep) => {
    open(keep, 'c');
    throw new Error('there is no second');
  });
  await expect(failing).rejects.toThrow('there is no second');
  expect(closed).toEqual(['b', 'a', 'c']);
});
