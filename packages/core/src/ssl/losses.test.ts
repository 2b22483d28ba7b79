import { describe, expect, it } from 'vitest';
import { cast } from '../graph/ops/elementwise.ts';
import { type Traced, trace } from '../graph/trace.ts';
import { normalize } from '../nn/layers.ts';
import { optimize } from '../passes/passes.ts';
import { interpret } from '../reference/interpreter.ts';
import { filled, type Tensor, tensor } from '../tensor/tensor.ts';
import {
  contrastiveAccuracy,
  crossEntropy,
  estimatePartition,
  featureStd,
  firstOfAll,
  inBatchInfoNce,
  infoNce,
  labelAccuracy,
  logSumExp,
  nce,
  ntXent,
  pairedAccuracy,
} from './losses.ts';

function evaluate(inputs: Tensor[], body: (...values: Traced[]) => Record<string, Traced>) {
  const graph = trace((builder) => body(...inputs.map(({ shape }, i) => builder.input(`x${i}`, shape))));
  return interpret(graph, Object.fromEntries(inputs.map((value, i) => [`x${i}`, value])));
}
const value = (input: Tensor, body: (x: Traced) => Traced) =>
  evaluate([input], (x) => ({ y: body(x!) })).y!.data[0]!;

describe('logSumExp', () => {
  it('of equal values is the value plus log of their number', () => {
    expect(value(filled([1, 8], 3), logSumExp)).toBeCloseTo(3 + Math.log(8), 12);
  });
  it('does not overflow', () => {
    expect(value(tensor([1e4, 1e4], [1, 2]), logSumExp)).toBeCloseTo(1e4 + Math.log(2), 9);
    expect(value(tensor([-1e4, -1e4], [1, 2]), logSumExp)).toBeCloseTo(-1e4 + Math.log(2), 9);
  });
});

describe('infoNce', () => {
  it("is PyTorch's cross entropy of [q.k, q @ queue] / T with label 0", () => {
    const q = tensor([1, 2, 2, 0, -3, 4], [2, 3]);
    const k = tensor([2, 1, 2, 1, 0, 1], [2, 3]);
    const queue = tensor([1, 2, 2, 0, 1, 0, -1, 0, 1, 3, -1, 1], [4, 3]);
    const { loss, logits } = evaluate([q, k, queue], (a, b, c) =>
      infoNce(normalize(a!), normalize(b!), transposed(normalize(c!)), 0.2),
    );
    // By torch.nn.functional of PyTorch 2.15 in float64; T is rounded to float32 here.
    expect(loss!.data[0]).toBeCloseTo(1.0546894424136357, 6);
    const expected = [
      [4.444444444444444, 5, 3.3333333333333335, 1.178511301977579, 1.507556722888818],
      [2.82842712474619, 0.6666666666666667, -3, 2.82842712474619, 2.1105794120443453],
    ];
    expect(logits!.shape).toEqual([2, 5]);
    expected.flat().forEach((logit, i) => {
      expect(logits!.data[i]).toBeCloseTo(logit, 6);
    });
  });
  it('of uniform logits is log(K + 1)', () => {
    const k = 15;
    const inputs = [filled([2, 4], 0.5), filled([2, 4], 0.5), filled([4, k], 0.5)];
    const { loss } = evaluate(inputs, (a, b, c) => infoNce(a!, b!, c!, 0.07));
    expect(loss!.data[0]).toBeCloseTo(Math.log(k + 1), 12);
  });
});

function transposed(x: Traced): Traced {
  return x.builder.emit('transpose', [x], { permutation: [1, 0] })[0]!;
}

describe('contrastiveAccuracy', () => {
  const logits = tensor([5, 1, 2, 3, 2, 3, 1, 0, 0, 1, 2, 3, 4, 1, 2, 0], [4, 4]);
  it('counts the rows whose first column is among the k largest', () => {
    // Ranks of column 0: 1, 2, 4, 1.
    const accuracy = [1, 2, 3, 4].map((k) => value(logits, (x) => contrastiveAccuracy(x, k)));
    expect(accuracy).toEqual([50, 75, 75, 100]);
  });
  it('is 0 where all are equal: a collapsed encoder earns nothing', () => {
    expect(value(filled([3, 9], 1), (x) => contrastiveAccuracy(x, 1))).toBe(0);
    expect(value(filled([3, 9], 1), (x) => contrastiveAccuracy(x, 5))).toBe(0);
  });
  it('counts a tie with one negative against the positive', () => {
    const tie = tensor([2, 2, 1], [1, 3]);
    expect(value(tie, (x) => contrastiveAccuracy(x, 1))).toBe(0);
    expect(value(tie, (x) => contrastiveAccuracy(x, 2))).toBe(100);
  });
});

it('acc1 and acc5 of a step rank the logits once, and use the sum of exponentials of the loss', () => {
  const graph = optimize(
    trace((builder) => {
      const logits = builder.input('logits', [4, 7]);
      const metrics = { acc1: contrastiveAccuracy(logits, 1), acc5: contrastiveAccuracy(logits, 5) };
      return { ...metrics, loss: firstOfAll(logits) };
    }),
  );
  const overLogits = (op: string) =>
    graph.nodes.filter(
      (node) => node.op === op && node.inputs.some((input) => graph.values[input]!.shape[1]! > 1),
    ).length;
  expect(['less', 'exp', 'max'].map(overLogits)).toEqual([1, 1, 1]);
});

describe('an accuracy of logits that are not finite', () => {
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  it.each(bad)('is 0 where the positive is %d, whatever k', (x) => {
    const logits = tensor([x, 1, 2, x, x, x], [2, 3]);
    for (const k of [1, 2, 5]) expect(value(logits, (l) => contrastiveAccuracy(l, k))).toBe(0);
  });
  it.each(bad.slice(0, 2))('is 0 where another is %d', (x) => {
    for (const k of [1, 2, 5]) {
      expect(value(tensor([5, x, 1], [1, 3]), (l) => contrastiveAccuracy(l, k))).toBe(0);
      const labels = tensor([0, 1], [2]);
      const logits = tensor([1, x, 0, 1, x, 0], [2, 3]);
      const of = evaluate([logits, labels], (l, label) => ({
        y: labelAccuracy(l!, cast(label!, 'int32'), k),
      }));
      expect(of.y!.data[0]).toBe(0);
    }
  });
  it.each([Number.NaN, 1e30, Number.POSITIVE_INFINITY])('of a batch is that of its other rows (%d)', (x) => {
    const [keys, queries] = [tensor([1, 0, 0, 1], [2, 2]), tensor([3, 0, 0, x], [2, 2])];
    const of = evaluate([queries, keys], (q, k) => {
      const ofBatch = inBatchInfoNce(q!, k!, 1);
      return { acc1: pairedAccuracy(ofBatch, 1), acc5: pairedAccuracy(ofBatch, 5) };
    });
    const expected = Number.isFinite(x) ? 100 : 50;
    expect([of.acc1!.data[0], of.acc5!.data[0]]).toEqual([expected, expected]);
  });
  it('is 0 for a label that is no class, and so is no loss', () => {
    for (const strange of [-1, 3, 7]) {
      const inputs = [tensor([-1, -2, -3], [1, 3]), tensor([strange], [1])];
      const of = evaluate(inputs, (l, label) => {
        const labels = cast(label!, 'int32');
        return {
          loss: crossEntropy(l!, labels),
          acc1: labelAccuracy(l!, labels, 1),
          acc5: labelAccuracy(l!, labels, 5),
        };
      });
      expect(of.loss!.data[0]).toBeNaN();
      expect([of.acc1!.data[0], of.acc5!.data[0]]).toEqual([0, 0]);
    }
  });
});

describe('losses within a batch', () => {
  const first = tensor([1, 2, 2, 0, -3, 4], [2, 3]);
  const second = tensor([2, 1, 2, 1, 0, 1], [2, 3]);
  const paired = (loss: typeof ntXent, temperature: number) =>
    evaluate([first, second], (a, b) => {
      const ofBatch = loss(normalize(a!), normalize(b!), temperature);
      return { loss: ofBatch.loss, acc1: pairedAccuracy(ofBatch, 1), acc2: pairedAccuracy(ofBatch, 2) };
    });

  it("ntXent is lightly's NTXentLoss", () => {
    // lightly 1.6, float64.
    expect(paired(ntXent, 0.5).loss!.data[0]).toBeCloseTo(0.9386425081722283, 12);
    expect(paired(ntXent, 0.125).loss!.data[0]).toBeCloseTo(1.1299851172132545, 12);
  });
  it("inBatchInfoNce is PyTorch's cross entropy with the diagonal as labels", () => {
    expect(paired(inBatchInfoNce, 0.5).loss!.data[0]).toBeCloseTo(0.5076733135248515, 12);
  });
  it('counts a positive against all others but itself', () => {
    // Products with the four views: a0 [ , .13, .89, .71], a1 [.13, , .33, .57], b0 [.89, .33, , .94], b1 [.71, .57, .94, ].
    expect(paired(ntXent, 0.5).acc1!.data[0]).toBe(50);
    expect(paired(ntXent, 0.5).acc2!.data[0]).toBe(75);
    expect(paired(inBatchInfoNce, 0.5).acc1!.data[0]).toBe(100);
  });
  it('of equal views are the log of their number, and earn nothing', () => {
    const same = evaluate([filled([4, 4], 0.5)], (x) => {
      const [all, keys] = [ntXent(x!, x!, 0.1), inBatchInfoNce(x!, x!, 0.1)];
      return { all: all.loss, keys: keys.loss, acc1: pairedAccuracy(all, 1), acc5: pairedAccuracy(all, 5) };
    });
    expect(same.all!.data[0]).toBeCloseTo(Math.log(7), 12);
    expect(same.keys!.data[0]).toBeCloseTo(Math.log(4), 12);
    expect([same.acc1!.data[0], same.acc5!.data[0]]).toEqual([0, 0]);
  });
});

describe('a loss with labels', () => {
  const logits = tensor([1, 2, 0.5, 3, -1, 0, 0.25, 0.25, 2, 1, 1, 1], [4, 3]);
  const labels = tensor([1, 2, 0, 2], [4]);
  const of = (body: (logits: Traced, label: Traced) => Traced) =>
    evaluate([logits, labels], (x, label) => ({ y: body(x!, cast(label!, 'int32')) })).y!.data[0];

  it("crossEntropy is PyTorch's", () => {
    expect(of(crossEntropy)).toBeCloseTo(1.6692878843229602, 12);
  });
  it('labelAccuracy counts the labels among the k largest, and a tie against them', () => {
    // Ranks 1, 2, 3 (tied with the second) and 3 (all three tied).
    expect([1, 2, 3, 5].map((k) => of((x, label) => labelAccuracy(x, label, k)))).toEqual([25, 50, 100, 100]);
  });
});

describe('nce', () => {
  const of = (logits: Tensor, z: number, slots: number) =>
    evaluate([logits, tensor([z], [])], (x, partition) => ({ y: nce(x!, partition!, slots) })).y!.data[0]!;

  it('is log 2 for each of the positive and K samples where data and noise are equally likely', () => {
    // exp(0) / Z = K / n with Z = 8, K = 2, n = 16.
    expect(of(filled([3, 3], 0), 8, 16)).toBeCloseTo(3 * Math.log(2), 12);
  });
  it('overflows nowhere: far off, it is the distance', () => {
    // Z = n / K: the positive is at -2000, one sample at 3000.
    expect(of(tensor([-2000, 3000, -4000], [1, 3]), 8, 16)).toBeCloseTo(5000, 9);
  });
  it("estimates Z by the noise's mean, times n", () => {
    const z = evaluate([tensor([9, 0, Math.log(3), 9, 0, 0], [2, 3])], (x) => ({
      y: estimatePartition(x!, 10),
    }));
    expect(z.y!.data[0]).toBeCloseTo((10 * (1 + 3 + 1 + 1)) / 4, 5);
  });
});

describe('featureStd', () => {
  it('is 0 for one point and the standard deviation else', () => {
    expect(value(filled([4, 3], 0.5), featureStd)).toBeLessThan(2e-6);
    // Deviations 1 and 2 about the mean, averaged.
    expect(value(tensor([1, 4, -1, 0], [2, 2]), featureStd)).toBeCloseTo(1.5, 6);
    // Squares 1, 1, 1 and 9 about the mean 0.
    expect(value(tensor([1, 1, 1, -3], [4, 1]), featureStd)).toBeCloseTo(Math.sqrt(3), 6);
  });
});
