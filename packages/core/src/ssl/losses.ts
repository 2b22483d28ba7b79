/** Contrastive losses and their accuracies. */

import { allGather, firstOwnRow } from '../graph/ops/collective.ts';
import {
  abs,
  add,
  cast,
  div,
  equal,
  exp,
  less,
  log,
  maximum,
  mul,
  neg,
  select,
  sqrt,
  stopGradient,
  sub,
} from '../graph/ops/elementwise.ts';
import { matmul } from '../graph/ops/matmul.ts';
import { max, mean, sum } from '../graph/ops/reduce.ts';
import { concat, reshape, slice } from '../graph/ops/shape.ts';
import type { GraphBuilder, Traced } from '../graph/trace.ts';
import { tensor } from '../tensor/tensor.ts';

/** log(sum(exp(x))) along the last axis, shifted by the maximum to avoid overflow. x [N, M] to [N, 1]. */
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
  const logits = mul(toKeys(query, key, negatives), 1 / temperature);
  return { loss: firstOfAll(logits), logits };
}

/** Products of each row with its own key, then with the queue's. query and key [N, D], queue [D, K] to [N, 1 + K]. */
function toKeys(query: Traced, key: Traced, queue: Traced): Traced {
  return concat([sum(mul(query, key), [1], true), matmul(query, queue)], 1);
}

/** T > 0 of each side of {@link distillation}. */
export interface DistillationTemperatures {
  readonly student: number;
  readonly teacher: number;
}

/** A loss, and how much of it is left to learn. */
export interface DistillationLoss {
  readonly loss: Traced;
  /** The divergence KL(p_t | p_s): the loss less the entropy of p_t, below which no student comes. */
  readonly divergence: Traced;
  /** [N, 1 + K], the student's, the image's own teacher feature first. */
  readonly logits: Traced;
}

/**
 * Distillation on a queue (SEED, arXiv 2101.04731, section 3.2): over the image's own teacher feature and a queue of those of other
 * images, d_0 to d_K, let p_t = softmax(z_t.d_j / T_t) and p_s = softmax(z_s.d_j / T_s).
 * L = -sum_j p_t(j) log p_s(j), averaged over the batch.
 * @param student z_s [N, D], unit rows
 * @param teacher z_t [N, D], unit rows; no gradient reaches them
 * @param queue [D, K], unit columns
 */
export function distillation(
  student: Traced,
  teacher: Traced,
  queue: Traced,
  temperature: DistillationTemperatures,
): DistillationLoss {
  const logits = mul(toKeys(student, teacher, queue), 1 / temperature.student);
  const wanted = mul(toKeys(teacher, teacher, queue), 1 / temperature.teacher);
  const logTarget = stopGradient(sub(wanted, logSumExp(wanted)));
  const target = exp(logTarget);
  const expected = (values: Traced) => sum(mul(target, values), [1], true);
  const loss = mean(sub(logSumExp(logits), expected(logits)));
  return { loss, divergence: add(loss, mean(expected(logTarget))), logits };
}

/**
 * InfoNCE of logits with the positive in column 0: -log(exp(l_0) / sum_j exp(l_j)), averaged over the batch.
 * @param logits [N, 1 + K]
 */
export function firstOfAll(logits: Traced): Traced {
  const chosen = slice(logits, [0, 0], [logits.shape[0]!, 1]);
  return mean(sub(logSumExp(logits), chosen));
}

/** A loss over logits with one positive in each row. */
export interface PairedLoss {
  readonly loss: Traced;
  /** [M, R M]: square with one replica. */
  readonly logits: Traced;
  /** [M, 1], each row's positive. */
  readonly positive: Traced;
}

/**
 * InfoNCE with the rest of the batch as negatives (MoCo v3, arXiv 2104.02057, eq. 1 and algorithm 1):
 * L = -log( exp(q_i.k_i / T) / sum_j exp(q_i.k_j / T) ), averaged over i. The method adds the factor 2T and the second
 * direction (moco-v3.ts).
 * @param query [N, D], unit rows, of a replica
 * @param key [R N, D], unit rows, of all replicas; that of a replica's image i is the positive of its query i
 * @param temperature T > 0
 * @param replicas R
 */
export function inBatchInfoNce(query: Traced, key: Traced, temperature: number, replicas = 1): PairedLoss {
  const logits = mul(matmul(query, key, { transposeB: true }), 1 / temperature);
  const n = query.shape[0]!;
  const positive = chosenByRow(logits, ownColumns(query.builder, counted(n), n, replicas));
  return { loss: mean(sub(logSumExp(logits), positive)), logits, positive };
}

/**
 * Cross entropy with labels: -log(exp(l_y) / sum_c exp(l_c)), averaged over the batch.
 * @param logits [N, C]
 * @param label int32 [N], in [0, C)
 */
export function crossEntropy(logits: Traced, label: Traced): Traced {
  return mean(sub(logSumExp(logits), labelled(logits, label)));
}

/**
 * The share of rows, in percent, in which the label's logit is among the `k` largest; for `k` of C or more, in which the
 * logits are finite and the label is a class.
 * @param logits [N, C]
 * @param label int32 [N], in [0, C)
 */
export function labelAccuracy(logits: Traced, label: Traced, k: number): Traced {
  return rankAccuracy({ logits, positive: labelled(logits, label), others: logits }, k);
}

/** The logits of the labels, [N, 1]; NaN for a label outside [0, C). */
function labelled(logits: Traced, label: Traced): Traced {
  const columns = reshape(cast(label, 'float32'), [logits.shape[0]!, 1]);
  const chosen = cast(equal(columns, row(logits)), 'float32');
  return div(sum(mul(logits, chosen), [1], true), sum(chosen, [1], true));
}

/** A finite bound above all float32 values that a network computes; not every reader of model files accepts an infinity. */
const largest = 3.4e38;

/** Replaces a view's logit with itself: its exp is 0 in float32 and in float64. */
const excluded = -1e9;

/**
 * NT-Xent, the normalised temperature-scaled cross entropy (SimCLR, arXiv 2002.05709, eq. 1):
 * l(i, j) = -log( exp(z_i.z_j / T) / sum over k other than i of exp(z_i.z_k / T) ), averaged over the 2N views i, each
 * with the other view j of its image.
 * @param first [N, D], unit rows: one view of each image
 * @param second [N, D], unit rows: the other
 * @param temperature T > 0
 * @param replicas R; with more than one the loss is that of a replica's views, among those of all
 */
export function ntXent(first: Traced, second: Traced, temperature: number, replicas = 1): PairedLoss {
  const n = first.shape[0]!;
  const { builder } = first;
  const views = [first, second];
  const own = concat(views, 0);
  const all =
    replicas === 1
      ? own
      : concat(
          views.map((view) => allGather(view, replicas)),
          0,
        );
  const similar = mul(matmul(own, all, { transposeB: true }), 1 / temperature);
  const [firsts, seconds] = [counted(n), counted(n).map((i) => replicas * n + i)];
  const itself = equal(ownColumns(builder, [...firsts, ...seconds], n, replicas), row(similar));
  const logits = select(itself, builder.constant(excluded), similar);
  const positive = chosenByRow(logits, ownColumns(builder, [...seconds, ...firsts], n, replicas));
  return { loss: mean(sub(logSumExp(logits), positive)), logits, positive };
}

/**
 * Picks one element per row, by its column. x [M, C] and columns [M, 1] to [M, 1]; exact, since all other elements are multiplied
 * by 0.
 */
function chosenByRow(x: Traced, columns: Traced): Traced {
  return sum(mul(x, cast(equal(columns, row(x)), 'float32')), [1], true);
}

/**
 * Columns, [M, 1]: comparing them with a {@link row} needs no constant as large as the logits.
 * @param columns replica 0's; each replica's are `rows` behind those of the one before
 */
function ownColumns(
  builder: GraphBuilder,
  columns: readonly number[],
  rows: number,
  replicas: number,
): Traced {
  const first = builder.constant(tensor(columns, [columns.length, 1]));
  return replicas === 1 ? first : add(first, firstOwnRow(builder, replicas, rows));
}

const counted = (count: number) => Array.from({ length: count }, (_, i) => i);

function row(x: Traced): Traced {
  const size = x.shape[1]!;
  return x.builder.constant(tensor(counted(size), [1, size]));
}

/**
 * Noise-contrastive estimation (InstDisc, arXiv 1805.01978, eq. 5-7, section 3.2). With P(i|v) = exp(v_i.v / T) / Z,
 * noise P_n = 1/n, and h(i, v) = P(i|v) / (P(i|v) + K P_n), the probability that i is the image rather than noise:
 * L = -log h(i, v) - sum over K noise samples j of log(1 - h(j, v)), averaged over the batch.
 * @param logits [N, 1 + K], v_i.v / T, the positive first
 * @param z Z, a scalar: {@link estimatePartition}
 * @param slots n, the number of images
 */
export function nce(logits: Traced, z: Traced, slots: number): Traced {
  const [rows, columns] = logits.shape as [number, number];
  const noise = columns - 1;
  // log(h / (1 - h)): h is the logistic function of it, so no quotient is needed.
  const odds = sub(logits, log(mul(z, noise / slots)));
  const positive = slice(odds, [0, 0], [rows, 1]);
  const negatives = slice(odds, [0, 1], [rows, noise]);
  return mean(add(softplus(neg(positive)), sum(softplus(negatives), [1], true)));
}

/**
 * The partition function Z of {@link nce}, held constant: n times the mean of exp(v_j.v / T) over noise samples (InstDisc, eq. 8).
 * It must be of the bank that training meets: of random slots it is n exp(1 / (2 D T^2)), of an untrained encoder's features,
 * which are all alike, hundreds of times that. A large data set fills its bank slowly enough for the features to spread.
 * @param logits [N, 1 + K], the positive first
 * @returns a scalar, without gradient
 */
export function estimatePartition(logits: Traced, slots: number): Traced {
  const [rows, columns] = logits.shape as [number, number];
  return stopGradient(mul(mean(exp(slice(logits, [0, 1], [rows, columns - 1]))), slots));
}

/** log(1 + exp(x)), shifted by max(x, 0) to avoid overflow; its gradient is the logistic function. */
function softplus(x: Traced): Traced {
  const shift = stopGradient(maximum(x, 0));
  return add(log(add(exp(sub(x, shift)), exp(neg(shift)))), shift);
}

/**
 * The share of rows, in percent, in which column 0 is among the `k` largest.
 * A negative equal to the positive counts as larger, so that a collapsed encoder scores 0, not 100.
 * @param logits [N, 1 + K]
 */
export function contrastiveAccuracy(logits: Traced, k: number): Traced {
  const [rows, columns] = logits.shape as [number, number];
  const positive = slice(logits, [0, 0], [rows, 1]);
  const others = slice(logits, [0, 1], [rows, columns - 1]);
  return rankAccuracy({ logits, positive, others }, k);
}

/**
 * {@link contrastiveAccuracy} of a {@link PairedLoss}: the share of rows, in percent, in which fewer than `k` of the others are at least as
 * large as the positive.
 */
export function pairedAccuracy({ logits, positive }: PairedLoss, k: number): Traced {
  return rankAccuracy({ logits, positive, others: logits }, k);
}

interface Ranked {
  /** [N, M] */
  readonly logits: Traced;
  /** [N, 1] */
  readonly positive: Traced;
  /** The logits that the positive is compared with; whether they include the positive itself makes no difference. */
  readonly others: Traced;
}

function rankAccuracy({ logits, positive, others }: Ranked, k: number): Traced {
  const [rows, columns] = logits.shape as [number, number];
  const better = sub(columns - 1, sum(cast(less(others, positive), 'float32'), [1]));
  // Rows with NaN or infinite logits count as wrong. Both show in logSumExp, which the loss computes anyway.
  const finiteRows = mul(cast(finite(positive), 'float32'), cast(finite(logSumExp(logits)), 'float32'));
  return mul(mean(mul(cast(less(better, k), 'float32'), reshape(finiteRows, [rows]))), 100);
}

/** Whether elements are neither NaN nor infinite; every comparison with NaN is false. */
function finite(x: Traced): Traced {
  return less(abs(x), x.builder.constant(largest));
}

/**
 * The feature std: each dimension's standard deviation over the batch, averaged. About 1/sqrt(D) when unit
 * vectors fill the sphere, 0 when the encoder has collapsed (SimSiam, arXiv 2011.10566, section 4.1).
 * @param features [N, D]
 */
export function featureStd(features: Traced): Traced {
  const centred = sub(features, mean(features, [0], true));
  const variance = mean(mul(centred, centred), [0]);
  return mean(sqrt(variance));
}
