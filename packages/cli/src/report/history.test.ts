import { expect, it } from 'vitest';
import { historyOf } from './history.ts';

const line = (event: string, fields: object = {}) => JSON.stringify({ event, ...fields });

it('what was taken back by going on from an earlier checkpoint is left out', () => {
  const { steps, epochs, evaluations, resumed, damaged } = historyOf(
    [
      line('start', { globalStep: 0 }),
      line('step', { globalStep: 0, loss: 3 }),
      line('step', { globalStep: 1, loss: 2.9 }),
      line('epoch', { globalStep: 2, epoch: 0, loss: 2.95 }),
      line('evaluation', { epoch: 1, knn: 40 }),
      line('step', { globalStep: 2, loss: 99 }),
      line('epoch', { globalStep: 4, epoch: 1, loss: 99 }),
      line('evaluation', { epoch: 2, knn: 99 }),
      line('resume', { globalStep: 2, epoch: 1, step: 0 }),
      line('step', { globalStep: 2, loss: 2.8 }),
    ].join('\n'),
  );
  expect(steps.map(({ loss }) => loss)).toEqual([3, 2.9, 2.8]);
  expect(epochs.map(({ loss }) => loss)).toEqual([2.95]);
  expect(evaluations.map(({ knn }) => knn)).toEqual([40]);
  expect([resumed, damaged]).toEqual([1, 0]);
});

it('what a run left that was killed before its first checkpoint is left out where it starts over', () => {
  const { steps } = historyOf(
    [
      line('start', { globalStep: 0, epoch: 0, step: 0 }),
      line('step', { globalStep: 0, loss: 3 }),
      line('step', { globalStep: 1, loss: 99 }),
      line('start', { globalStep: 0, epoch: 0, step: 0 }),
      line('step', { globalStep: 0, loss: 2 }),
    ].join('\n'),
  );
  expect(steps.map(({ loss }) => loss)).toEqual([2]);
});

it('an evaluation in mid-epoch, where the time of a run was over, stays when it goes on with more', () => {
  const { evaluations } = historyOf(
    [
      line('evaluation', { epoch: 3, globalStep: 6, knn: 40 }),
      line('evaluation', { epoch: 3.5, globalStep: 7, knn: 50 }),
      line('evaluation', { epoch: 4, globalStep: 8, knn: 99 }),
      line('resume', { globalStep: 7, epoch: 3, step: 1 }),
      line('evaluation', { epoch: 4, globalStep: 8, knn: 60 }),
    ].join('\n'),
  );
  expect(evaluations.map(({ knn }) => knn)).toEqual([40, 50, 60]);
});

it('half a line of a killed process is counted and left out', () => {
  const { steps, damaged } = historyOf(`${line('step', { loss: 1 })}\n{"event":"st\n\n[1]\nnull\n`);
  expect([steps.length, damaged]).toEqual([1, 3]);
});

it('alarms are told in words', () => {
  const text = [
    line('alarm', { epoch: 3, message: 'the queries have collapsed' }),
    line('diverged', { globalStep: 17, loss: 'NaN' }),
  ];
  expect(historyOf(text.join('\n')).alarms).toEqual([
    'Epoch 4: the queries have collapsed',
    'Step 17: the loss was NaN',
  ]);
});

it('reads a log of a long run that went on often, at once', () => {
  const [runs, each] = [300, 150];
  const text = Array.from({ length: runs }, (_, run) => [
    ...(run > 0 ? [line('resume', { globalStep: run * each - 10, epoch: 0, step: run * each - 10 })] : []),
    ...Array.from({ length: each + (run > 0 ? 10 : 0) }, (_, i) =>
      line('step', { globalStep: run * each + i - (run > 0 ? 10 : 0), loss: run }),
    ),
  ]).flat();
  const { steps, resumed } = historyOf(text.join('\n'));
  expect(resumed).toBe(runs - 1);
  expect(steps.map(({ globalStep }) => globalStep)).toEqual(Array.from({ length: runs * each }, (_, i) => i));
  // The last ten of each stretch were taken again by the next.
  expect(steps[each - 10]).toMatchObject({ loss: 1 });
});
