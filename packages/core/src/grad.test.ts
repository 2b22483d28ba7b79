import { describe, expect, it } from 'vitest';
import { ShapeError } from './errors.ts';
import { grad, gradients } from './grad.ts';
import { defineOp } from './graph/op.ts';
import { conv2d } from './graph/ops/conv.ts';
import {
  abs,
  add,
  cast,
  exp,
  greater,
  maximum,
  mul,
  neg,
  relu,
  reluGrad,
  select,
  stopGradient,
} from './graph/ops/elementwise.ts';
import { gather, updateSlice } from './graph/ops/index-ops.ts';
import { layerNorm } from './graph/ops/layer-norm.ts';
import { batchNorm, batchNormGrad } from './graph/ops/norm.ts';
import { max, sum } from './graph/ops/reduce.ts';
import { reshape } from './graph/ops/shape.ts';
import { softmaxMatmul } from './graph/ops/softmax-matmul.ts';
import { type Traced, trace } from './graph/trace.ts';
import { interpret } from './reference/interpreter.ts';
import { filled } from './tensor/tensor.ts';

/** The gradient of body(x) by x at [1, 2, 3], and of the second input, at [4, 5, 6], as `by z`. */
function derivatives(body: (x: Traced, z: Traced) => Traced) {
  const graph = trace((builder) => ({
    loss: body(builder.input('x', [3]), builder.input('z', [3])),
  }));
  const x = { shape: [3], data: [1, 2, 3] };
  const z = { shape: [3], data: [4, 5, 6] };
  const outputs = interpret(grad(graph, 'loss', ['x', 'z']), { x, z });
  return {
    byX: [...outputs['grad.x']!.data],
    byZ: [...outputs['grad.z']!.data],
    loss: outputs.loss!.data[0],
  };
}

describe('gradients', () => {
  it("flow through a normalisation's statistics", () => {
    const statistic =
      (output: number, gamma = false) =>
      (x: Traced, z: Traced) => {
        const [column, one] = [reshape(x, [3, 1]), x.builder.constant(filled([1], 1))];
        return sum(batchNorm(column, gamma ? reshape(sum(z), [1]) : one, one, 1e-5)[output]!);
      };
    // The mean of [1, 2, 3] and its biased variance, of which the derivatives are 1/3 and 2 (x - 2) / 3; constants are float32.
    const third = Math.fround(1 / 3);
    expect(derivatives(statistic(1)).byX).toEqual([third, third, third]);
    expect(derivatives(statistic(2)).byX).toEqual([-2 * third, 0, 2 * third]);
    expect(derivatives(statistic(2, true)).byZ).toEqual([0, 0, 0]);
    // With y: that adds up to 3 beta, whatever x.
    const both = (x: Traced, z: Traced) => add(statistic(0)(x, z), mul(statistic(1)(x, z), 3));
    for (const value of derivatives(both).byX) expect(value).toBeCloseTo(1, 6);
  });
  it('add up where a value is used more than once', () => {
    expect(derivatives((x) => sum(add(mul(x, x), x))).byX).toEqual([3, 5, 7]);
    expect(derivatives((x, z) => sum(mul(mul(x, z), x))).byX).toEqual([8, 20, 36]);
  });
  it('keep the loss as an output', () => {
    expect(derivatives((x) => sum(x)).loss).toBe(6);
  });
  it('are 0 for what the loss does not reach', () => {
    expect(derivatives((x) => sum(exp(x))).byZ).toEqual([0, 0, 0]);
  });
  it("don't flow through stopGradient", () => {
    expect(derivatives((x) => sum(mul(x, stopGradient(x)))).byX).toEqual([1, 2, 3]);
    expect(derivatives((x, z) => sum(mul(stopGradient(mul(x, z)), z)))).toMatchObject({
      byX: [0, 0, 0],
      byZ: [4, 10, 18],
    });
  });
  it('are an error through a type that has none, where nothing says that they stop', () => {
    for (const dtype of ['int32', 'uint8', 'bool'] as const) {
      const through = (x: Traced) => sum(cast(cast(x, dtype), 'float32'));
      expect(() => derivatives(through)).toThrow(
        `cast has no gradient by its input 0, ${dtype} [3]: put stopGradient`,
      );
      expect(derivatives((x) => add(sum(x), through(stopGradient(x)))).byX).toEqual([1, 1, 1]);
    }
    expect(() => derivatives((x, z) => sum(gather(z, cast(x, 'int32'))))).toThrow(
      /gather has no .*input 1, int32/,
    );
    expect(() => derivatives((x, z) => sum(select(cast(x, 'bool'), z, x)))).toThrow(
      /select has no .*input 0, bool/,
    );
  });
  it('are an error where an op gives none by a float, whatever the op', () => {
    defineOp({ name: 'test/forgets', infer: ([x]) => [x!], grad: () => [undefined] });
    const forgets = (x: Traced) => x.builder.emit('test/forgets', [x])[0]!;
    expect(() => derivatives((x) => sum(forgets(x)))).toThrow(/test\/forgets has no gradient by its input 0/);
  });
  it('are of floats, by floats', () => {
    const graph = trace((builder) => ({ loss: sum(cast(builder.input('x', [3], 'int32'), 'float32')) }));
    expect(() => grad(graph, 'loss', ['x'])).toThrow('there is no gradient of or by int32 [3]');
  });
  it('of the gradient of relu are 0 by what decides it', () => {
    // d/dx of sum(relu'(x) x) with relu'(x) = 1 for these.
    expect(derivatives((x) => sum(reluGrad(x, x))).byX).toEqual([1, 1, 1]);
  });
  it('flow through a cast that changes nothing', () => {
    const same = (x: Traced) => x.builder.emit('cast', [x], { dtype: 'float32' })[0]!;
    expect(derivatives((x, z) => sum(mul(same(x), z))).byX).toEqual([4, 5, 6]);
  });
  it('of what is stopped as a whole are 0', () => {
    expect(derivatives((x) => stopGradient(sum(x))).byX).toEqual([0, 0, 0]);
  });
  it('pass by ops that have none, where nothing that is asked for comes through these', () => {
    const graph = trace((builder) => {
      const [x, z] = [builder.input('x', [3]), builder.input('z', [2])];
      const at = builder.constant({ shape: [], dtype: 'int32', data: Int32Array.of(1) });
      return { loss: sum(mul(x, updateSlice(stopGradient(x), z, at, 0))) };
    });
    const feeds = { x: { shape: [3], data: [1, 2, 3] }, z: { shape: [2], data: [5, 6] } };
    expect([...interpret(grad(graph, 'loss', ['x']), feeds)['grad.x']!.data]).toEqual([1, 5, 6]);
    expect(() => grad(graph, 'loss', ['z'])).toThrow(/updateSlice/);
  });
  it("don't flow through comparisons", () => {
    expect(derivatives((x) => sum(mul(cast(greater(x, 1.5), 'float32'), x))).byX).toEqual([0, 1, 1]);
    expect(derivatives((x) => sum(cast(greater(x, 1.5), 'float32'))).byX).toEqual([0, 0, 0]);
  });
  it('of a value by itself are 1, also in the shape [1]', () => {
    const graph = trace((builder) => {
      const loss = sum(builder.input('x', [3]), [0], true);
      return { own: gradients(loss, [loss])[0]! };
    });
    expect(interpret(graph, { x: { shape: [3], data: [1, 2, 3] } }).own).toEqual({
      shape: [1],
      data: Float64Array.of(1),
    });
  });
  it('can be differentiated again: the second derivative of x^3 is 6 x', () => {
    const graph = trace((builder) => {
      const x = builder.input('x', [3]);
      const [first] = gradients(sum(mul(mul(x, x), x)), [x]);
      return { second: gradients(sum(first!), [x])[0]! };
    });
    const { second } = interpret(graph, { x: { shape: [3], data: [1, 2, 3] } });
    expect([...second!.data]).toEqual([6, 12, 18]);
  });
  it('are computed for what is asked alone', () => {
    const ops = (by: string) => {
      const graph = trace((builder) => {
        const y = conv2d(builder.input('x', [1, 1, 3, 3]), builder.input('w', [1, 1, 2, 2]));
        return { loss: sum(y) };
      });
      return grad(graph, 'loss', [by]).nodes.map(({ op }) => op);
    };
    expect(ops('w')).toContain('conv2dFilterGrad');
    expect(ops('w')).not.toContain('conv2dInputGrad');
    expect(ops('x')).toContain('conv2dInputGrad');
    expect(ops('x')).not.toContain('conv2dFilterGrad');
  });
});

// The values of PyTorch 2.15.
describe('at ties and kinks', () => {
  const by = (body: (a: Traced, b: Traced) => Traced, a: number[], b: number[], shape = [a.length]) => {
    const graph = trace((builder) => ({
      loss: sum(body(builder.input('a', shape), builder.input('b', [b.length]))),
    }));
    const outputs = interpret(grad(graph, 'loss', ['a', 'b']), {
      a: { shape, data: a },
      b: { shape: [b.length], data: b },
    });
    return [[...outputs['grad.a']!.data], [...outputs['grad.b']!.data]];
  };
  it('maximum gives each side half', () => {
    expect(by(maximum, [1, 2, 3, -1], [1, 3, 2, -1])).toEqual([
      [0.5, 0, 1, 0.5],
      [0.5, 1, 0, 0.5],
    ]);
  });
  it('max shares evenly, as amax', () => {
    const rows = [1, 3, 3, 0, 0, 0, -1, -2, -3];
    const [byRows] = by((a, b) => mul(max(a, [1]), b), rows, [1, 2, 3], [3, 3]);
    [0, 0.5, 0.5, 2 / 3, 2 / 3, 2 / 3, 3, 0, 0].forEach((expected, i) => {
      expect(byRows![i]).toBeCloseTo(expected, 12);
    });
    expect(by((a, b) => mul(max(a), b), [2, 2, 1, 2], [6])[0]).toEqual([2, 2, 0, 2]);
  });
  it('abs and relu have the derivative 0 at 0', () => {
    expect(by((a) => abs(a), [-1, 0, 2], [1])[0]).toEqual([-1, 0, 1]);
    expect(by((a) => relu(a), [-1, 0, 2], [1])[0]).toEqual([0, 0, 1]);
  });
});

describe('errors', () => {
  it('a loss that is no scalar', () => {
    expect(() => derivatives((x) => x)).toThrow(ShapeError);
    expect(() => derivatives((x) => x)).toThrow('a loss is a scalar, not [3]');
  });
  it('an op that can not be differentiated, by its name', () => {
    const write = (x: Traced, z: Traced) =>
      sum(updateSlice(x, z, cast(reshape(sum(stopGradient(x)), []), 'int32'), 0));
    expect(() => derivatives(write)).toThrow(ShapeError);
    expect(() => derivatives(write)).toThrow(/updateSlice.*stopGradient/);
    expect(derivatives((x, z) => add(sum(x), stopGradient(write(x, z)))).byX).toEqual([1, 1, 1]);
    const twice = (x: Traced, z: Traced) => {
      const column = reshape(x, [3, 1]);
      const one = reshape(sum(z), [1]);
      const [, mean, variance] = batchNorm(column, one, one, 1e-5);
      return sum(batchNormGrad(column, column, one, mean, variance, 1e-5)[0]);
    };
    expect(() => derivatives(twice)).toThrow(/batchNormGrad/);
  });
  it.each([1, 2])("a layer normalisation's statistics, %i", (output) => {
    const statistics = (x: Traced, z: Traced) => sum(layerNorm(x, z, z, 1e-5)[output]!);
    expect(() => derivatives(statistics)).toThrow(/layerNorm: the statistics have no gradient/);
  });
  it('the weights of an attention', () => {
    const weights = (x: Traced, z: Traced) => sum(softmaxMatmul(reshape(x, [1, 3]), reshape(z, [3, 1]))[1]);
    expect(() => derivatives(weights)).toThrow(/softmaxMatmul: the weights have no gradient/);
  });
  it('names that the graph has not', () => {
    const graph = trace((builder) => ({ loss: sum(neg(builder.input('x', [2]))) }));
    expect(() => grad(graph, 'cost', ['x'])).toThrow(/"cost"/);
    expect(() => grad(graph, 'loss', ['y'])).toThrow(/"y"/);
  });
});
