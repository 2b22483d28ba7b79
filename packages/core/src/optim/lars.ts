import { add, div, greater, mul, select, sqrt, sub } from '../graph/ops/elementwise.ts';
import { sum } from '../graph/ops/reduce.ts';
import type { Traced } from '../graph/trace.ts';
import { type Optimizer, registerOptimizer } from './optimizer.ts';

/**
 * LARS (You et al., arXiv 1708.03888) in the form of SimCLR and MoCo v3:
 * d = g + decay p; d = d trust |p| / |d|; mu = momentum mu + d; p = p - lr mu.
 * Each norm is that of the whole parameter; if one of them is 0, d is not scaled. One-dimensional parameters (biases, batch
 * norm scales) are neither decayed nor scaled.
 *
 * The LARS paper divides by |g| + decay |p| instead of |d| = |g + decay p|: equal only if g and p
 * have the same direction.
 */
export function lars({ momentum = 0.9, weightDecay = 0, trustCoefficient = 0.001 } = {}): Optimizer {
  return {
    name: 'lars',
    slots: ['mu'],
    scalars: (learningRate) => ({ lr: learningRate }),
    update: ({ parameter, gradient, slots, scalars }) => {
      let change = gradient;
      if (parameter.shape.length > 1) {
        if (weightDecay !== 0) change = add(change, mul(parameter, weightDecay));
        change = mul(change, trustRatio(norm(parameter), norm(change), trustCoefficient));
      }
      const average = add(mul(slots[0]!, momentum), change);
      return { parameter: sub(parameter, mul(average, scalars.lr!)), slots: [average] };
    },
  };
}

function trustRatio(parameterNorm: Traced, changeNorm: Traced, coefficient: number): Traced {
  const one = parameterNorm.builder.constant(1);
  const ratio = div(mul(parameterNorm, coefficient), changeNorm);
  return select(greater(parameterNorm, 0), select(greater(changeNorm, 0), ratio, one), one);
}

function norm(x: Traced): Traced {
  return sqrt(sum(mul(x, x)));
}

registerOptimizer('lars', lars);
