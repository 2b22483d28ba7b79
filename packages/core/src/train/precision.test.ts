import { expect, it } from 'vitest';
import { type Backend, defineBackend, registerBackend } from '../backend.ts';
import { mul } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { sum } from '../graph/ops/reduce.ts';
import { sgd } from '../optim/sgd.ts';
import { lossScaleOf, type Precision, withPrecision } from '../passes/precision.ts';
import { interpret } from '../reference/interpreter.ts';
import { StepTracer } from './step.ts';
import { createTrainer } from './trainer.ts';

const type = { shape: [2, 2], dtype: 'float32' } as const;

/** The loss 2^-26 sum(x w), by whose products the gradient is 2^-26: less than half of float16's least number. */
function step(lossScale: number) {
  const optimizer = { ...sgd({ momentum: 0 }), lossScale };
  const tracer = new StepTracer({ 'q.w': type, 'opt.momentum.w': type });
  const q = tracer.branch('q');
  const loss = sum(mul(matmul(tracer.feed('x', [2, 2]), q.params.w!), 2 ** -26));
  tracer.metric('loss', loss);
  tracer.minimize(loss, q, optimizer, true);
  return tracer.finish(optimizer);
}

function gradient(precision: Precision, lossScale: number): number[] {
  const square = (...data: number[]) => ({ shape: [2, 2], data });
  const outputs = interpret(withPrecision(step(lossScale).graph, precision), {
    'q.w': square(1, 2, 3, 4),
    'opt.momentum.w': square(0, 0, 0, 0),
    x: square(1, 1, 1, 1),
    lr: { shape: [], data: [1] },
  });
  return [...outputs['grad.w']!.data];
}

it('small gradients are lost in float16, and kept by a scaled loss', () => {
  const exact = new Array(4).fill(2 ** -25);
  expect(gradient('fp32', 1)).toEqual(exact);
  expect(gradient('fp16', 1)).toEqual([0, 0, 0, 0]);
  expect(gradient('fp16', lossScaleOf('fp16'))).toEqual(exact);
  expect(gradient('fp32', lossScaleOf('fp16'))).toEqual(exact);
  expect(['fp32', 'tf32', 'bf16'].map((name) => lossScaleOf(name as Precision))).toEqual([1, 1, 1]);
});

it('a backend refuses a precision that it has not, and names those that have it', async () => {
  const bare: Backend = {
    name: 'bare',
    device: 'nothing',
    capabilities: () => ({ training: true, inference: true, dtypes: ['float32'], lowering: 'nothing' }),
    compile: () => Promise.reject(new Error('compiled')),
    dispose: async () => {},
  };
  const train = (precision: Precision) => createTrainer(bare, step(1), {}, { precision });
  const refusal = { code: 'backend-unsupported', setting: 'precision', value: 'bf16' };
  await expect(train('bf16')).rejects.toMatchObject({
    ...refusal,
    message: 'bare computes in fp32 alone: leave out precision bf16',
  });
  registerBackend('able', async () =>
    defineBackend({
      name: 'able',
      devices: () => [
        { name: 'able', speed: 'check' },
        { name: 'able:gpu', speed: 'training', precisions: ['fp32', 'bf16'] },
      ],
      create: () => Promise.reject(new Error('opened')),
    }),
  );
  await expect(train('bf16')).rejects.toMatchObject({
    ...refusal,
    message: 'bare computes in fp32 alone: leave out precision bf16, or choose backend able:gpu',
  });
  await expect(train('fp32')).rejects.toThrow('compiled');
});
