import { add, div, mul, sqrt, sub } from '../graph/ops/elementwise.ts';
import { type Optimizer, registerOptimizer } from './optimizer.ts';

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101), as torch.optim.AdamW:
 * p = p (1 - lr decay); m and v follow g and g^2; p = p - lr (m / c1) / (sqrt(v / c2) + epsilon), c = 1 - beta^t.
 */
export function adamw({
  betas = [0.9, 0.999],
  epsilon = 1e-8,
  weightDecay = 0.01,
}: {
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  readonly weightDecay?: number;
} = {}): Optimizer {
  const [beta1, beta2] = betas;
  return {
    name: 'adamw',
    slots: ['exp_avg', 'exp_avg_sq'],
    scalars: (learningRate, step) => ({
      // Computed here in float64: in the graph 1 - beta2^t would lose half its digits at the first steps.
      stepSize: learningRate / (1 - beta1 ** (step + 1)),
      rootCorrection: Math.sqrt(1 - beta2 ** (step + 1)),
      shrink: 1 - learningRate * weightDecay,
    }),
    update: ({ parameter, gradient, slots, scalars }) => {
      const average = add(mul(slots[0]!, beta1), mul(gradient, 1 - beta1));
      const square = add(mul(slots[1]!, beta2), mul(mul(gradient, gradient), 1 - beta2));
      const denominator = add(div(sqrt(square), scalars.rootCorrection!), epsilon);
      const change = mul(div(average, denominator), scalars.stepSize!);
      return { parameter: sub(mul(parameter, scalars.shrink!), change), slots: [average, square] };
    },
  };
}

registerOptimizer('adamw', adamw);
