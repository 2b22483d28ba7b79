/** scripts/gpu/suites.mjs, which stands in for vitest on bare machines: it runs what the kit registers, and a failure is one. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

const suites = pathToFileURL(join(import.meta.dirname, '../../../scripts/gpu/suites.mjs')).href;

/** In a process of its own: vitest's `expect` is not to be disturbed. */
function run(options: string) {
  const program = `
    import { beforeAll, describe, expect, it, runTests } from '${suites}';
    let ready = false;
    describe('kit', () => {
      beforeAll(() => { ready = true; });
      describe.each(['add', 'sub'])('%s', (op) => {
        it('is ready', async ({ task }) => { expect(ready).toBe(true); task.meta.kit = { error: 0.5 }; });
        it('is add', () => { expect(op, 'the op').toBe('add'); });
      });
      it.each([[1, 2]])('%i and %i', async (a, b) => { await expect(Promise.reject(new Error('no ' + a))).rejects.toThrow(/no 1/); expect(b).toBe(2); });
      it.for([{ name: 'x' }])('$name', (value, { task }) => { expect([value.name, typeof task.meta]).toEqual(['x', 'object']); });
    });
    const results = [];
    const left = await runTests({ ...${options}, each: ({ ms, ...result }) => results.push(result) });
    console.log(JSON.stringify({ left, results }));`;
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module', '-e', program]).toString());
}

it('runs every test, and tells which failed and why', () => {
  const { left, results } = run('{}');
  expect(left).toBe(0);
  expect(results.map(({ name }: { name: string }) => name)).toEqual([
    'kit > add > is ready',
    'kit > add > is add',
    'kit > sub > is ready',
    'kit > sub > is add',
    'kit > 1 and 2',
    'kit > x',
  ]);
  expect(results[0].error).toBe(0.5);
  const failed = results.filter(({ message }: { message?: string }) => message);
  expect(failed).toHaveLength(1);
  expect(failed[0]).toMatchObject({ name: 'kit > sub > is add', message: expect.stringContaining('the op') });
});

it('runs a part, and counts what there was no time for', () => {
  expect(run('{ shard: [1, 3] }').results.map(({ name }: { name: string }) => name)).toEqual([
    'kit > add > is add',
    'kit > 1 and 2',
  ]);
  expect(run('{ only: /ready/ }').results).toHaveLength(2);
  expect(run('{ seconds: -1 }')).toEqual({ left: 6, results: [] });
});
