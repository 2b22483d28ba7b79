/** Ranks from 1; equal values share the mean of theirs. */
function ranks(values) {
  const order = [...values].sort((a, b) => a - b);
  return values.map((value) => (order.indexOf(value) + order.lastIndexOf(value)) / 2 + 1);
}

/** Spearman's rank correlation: Pearson's of the ranks. NaN where all values of a side are equal. */
export function spearman(left, right) {
  const mean = (left.length + 1) / 2;
  const [a, b] = [left, right].map((values) => ranks(values).map((rank) => rank - mean));
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
