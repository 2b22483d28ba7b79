/** Contrastive losses and their accuracies. */
import { add, cast, exp, less, log, mul, sqrt, stopGradient, sub } from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { max, mean, sum } from '../graph/ops/reduce.ts';
import { concat, slice } from '../graph/ops/shape.ts';
import type { Traced } from '../graph/trace.ts';

/** log(sum(exp(x))) along the last axis, shifted by the maximum so that nothing overflows. x [N, M] to [N, 1]. */
export function logSumExp(x: Traced): Traced {
  const shift = stopGradient(max(x, [1], true));
  return add(log(sum(exp(sub(x, shift)), [1], true)), shift);
}

/**
 * InfoNCE with one positive and a dictionary of negatives (MoCo, arXiv 1911.05722, eq. 1):
 * L = -log( exp(q.k+ / T) / (exp(q.k+ / T) + sum_i exp(q.k_i / T)) ), averaged over the batch.
 * @param query [N, D], unit rows
 * @param key [N, D], unit rows; row i is the positive of query i
 * @param negatives [D, K], unit columns
 * @param temperature T > 0
 */
export function infoNce(
  query: Traced,
  key: Traced,
  negatives: Traced,
  temperature: number,
): { loss: Traced; logits: Traced } {
  const positive = sum(mul(query, key), [1], true);
  const logits = mul(concat([positive, matmul(query, negatives)], 1), 1 / temperature);
  const chosen = slice(logits, [0, 0], [logits.shape[0]!, 1]);
  return { loss: mean(sub(logSumExp(logits), chosen)), logits };
}

/**
 * The share of rows, in percent, in which column 0 is among the `k` largest.
 * A negative equal to the positive counts against it, so that a collapsed encoder reads 0 and not 100.
 * @param logits [N, 1 + K]
 */
export function contrastiveAccuracy(logits: Traced, k: number): Traced {
  const [rows, columns] = logits.shape as [number, number];
  const positive = slice(logits, [0, 0], [rows, 1]);
  const negatives = slice(logits, [0, 1], [rows, columns - 1]);
  // Counted by the negatives that are beaten: where a logit is NaN, none is.
  const better = sub(columns - 1, sum(cast(less(negatives, positive), 'float32'), [1]));
  return mul(mean(cast(less(better, k), 'float32')), 100);
}

/**
 * The spread of features: each dimension's standard deviation over the batch, averaged. About 1/sqrt(D) when unit
 * vectors fill the sphere, 0 when the encoder has collapsed (SimSiam, arXiv 2011.10566, section 4.1).
 * @param features [N, D]
 */
export function featureSpread(features: Traced): Traced {
  const centred = sub(features, mean(features, [0], true));
  const variance = mean(mul(centred, centred), [0]);
  return mean(sqrt(variance));
}
