import { add, mul, sub } from '../graph/ops/elementwise.ts';
import { type Optimizer, registerOptimizer } from './optimizer.ts';

/**
 * Stochastic gradient descent with momentum and L2 decay, as torch.optim.SGD (dampening 0, no Nesterov):
 * v = momentum v + (g + decay p); p = p - lr v.
 */
export function sgd({ momentum = 0.9, weightDecay = 0 } = {}): Optimizer {
  return {
    name: 'sgd',
    slots: ['momentum'],
    scalars: (learningRate) => ({ lr: learningRate }),
    update: ({ parameter, gradient, slots, scalars }) => {
      const decayed = weightDecay === 0 ? gradient : add(gradient, mul(parameter, weightDecay));
      const velocity = add(mul(slots[0]!, momentum), decayed);
      return { parameter: sub(parameter, mul(velocity, scalars.lr!)), slots: [velocity] };
    },
  };
}

registerOptimizer('sgd', sgd);
