import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ortPlugin } from '@moco-ts/backend-ort';
import { type Backend, defineBackend, registerBackend } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { differences, imageFolder, logged, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';

/** How many runs had begun when each one's results came. */
const ahead: number[] = [];

/** Whether a first step was held: later runs go on in mid-epoch, where none may follow before its result. */
let held = false;

/** ONNX Runtime, of whose first step the result comes when the next has begun, as on a device that computes by itself. */
registerBackend('late', async () =>
  defineBackend({
    name: 'late',
    create: async (options) => {
      const backend = await ortPlugin.create(options);
      const late: Backend = {
        ...backend,
        capabilities: () => ({ ...backend.capabilities(), overlapping: true }),
        compile: async (graph, compileOptions) => {
          const program = await backend.compile(graph, compileOptions);
          // The runs themselves go one after the other, as on a device's queue.
          let queue: Promise<unknown> = Promise.resolve();
          let begun = 0;
          let second: (() => void) | undefined;
          // Only what trains has state that changes.
          const trains = compileOptions?.state?.some(({ output }) => output !== undefined) ?? false;
          const hold = trains && !held;
          held ||= trains;
          const begunTwice = new Promise<void>((resolve) => {
            second = resolve;
          });
          return {
            memory: program.memory,
            load: (values) => program.load(values),
            read: (names) => program.read(names),
            dispose: () => program.dispose(),
            run: async (feeds) => {
              const number = ++begun;
              if (number === 2) second?.();
              const run = queue.then(() => program.run(feeds));
              queue = run.catch(() => undefined);
              const results = await run;
              if (hold && number === 1) await begunTwice;
              ahead.push(begun - number);
              return results;
            },
          };
        },
      };
      return late;
    },
  }),
);

it('a device is given the next step before the metrics of the last have come, and the run is the same to the bit', async () => {
  const images = imageFolder(20);
  const root = temporaryFolder();
  const [usual, late, resumed] = ['usual', 'late', 'resumed'].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  const flags = ['pretrain', images, ...tiny, '--epochs', '3', '--save-every-steps', '3'];
  expect(await moco(...flags, '--out', usual)).toMatchObject({ code: 0 });
  expect(await moco(...flags, '--backend', 'late', '--out', late)).toMatchObject({ code: 0 });
  expect(Math.max(...ahead)).toBe(1);
  const losses = (folder: string) => logged(folder, 'step').map(({ globalStep, loss }) => [globalStep, loss]);
  expect(losses(late)).toEqual(losses(usual));
  expect(losses(late)).toHaveLength(6);
  const files = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
  expect(files(late)).toEqual(files(usual));
  for (const name of files(late)) expect(differences(join(late, name), join(usual, name))).toEqual([]);
  // Stopped in mid-epoch: what was under way is in the checkpoint.
  await moco(...flags, '--backend', 'late', '--out', resumed, '--max-steps', '3');
  await moco('pretrain', '--resume', resumed, '--max-steps', '6');
  expect(losses(resumed)).toEqual(losses(usual));
});

it('a loss that is no number still ends the run, with the checkpoint before it named', async () => {
  const folder = join(temporaryFolder(), 'run');
  const flags = ['--no-cos', '--bn', 'split', '--lr', '1e30', '--backend', 'late', '--out', folder];
  const { code, err } = await moco('pretrain', imageFolder(20), ...tiny, '--epochs', '4', ...flags);
  expect([code, err]).toEqual([1, expect.stringMatching(/the loss is (NaN|Infinity) at epoch \d, step \d/)]);
  expect(logged(folder, 'diverged')).toHaveLength(1);
});
