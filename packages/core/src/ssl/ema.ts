/** The EMA update of a key encoder: an exponential moving average of the query encoder's parameters. */
import { isBuffer, type TracedParams } from '../encoder.ts';
import { add, mul, stopGradient, sub } from '../graph/ops/elementwise.ts';
import type { Operand } from '../graph/trace.ts';

/**
 * The EMA update, the paper's momentum update (MoCo, arXiv 1911.05722, eq. 2): k = m k + (1 - m) q for parameters; buffers stay each encoder's
 * own. What only q has, such as a predictor, is left out. No gradient flows into the result.
 * @param momentum m in [0, 1]: a number, or a scalar that is fed
 * @param frozen names of parameters that training never changes: they are not averaged, which would only round them
 */
export function emaUpdate(
  k: TracedParams,
  q: TracedParams,
  momentum: Operand,
  frozen: ReadonlySet<string> = new Set(),
): TracedParams {
  const rest = typeof momentum === 'number' ? 1 - momentum : sub(1, momentum);
  return Object.fromEntries(
    Object.entries(k).map(([name, value]) => {
      if (isBuffer(name) || frozen.has(name)) return [name, value];
      return [name, stopGradient(add(mul(value, momentum), mul(q[name]!, rest)))];
    }),
  );
}
