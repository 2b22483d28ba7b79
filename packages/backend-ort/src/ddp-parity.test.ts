/** Steps of several replicas against PyTorch's DistributedDataParallel: parity/ddp.py made the fixtures. */
import { expect, it } from 'vitest';
import { type DdpBounds, ddpCases, ddpMisses, ddpOnOracle } from './ddp-testing.ts';

/** Rounding apart: a graph holds its constants in float32. */
const exact: DdpBounds = { loss: () => 1e-6, gradient: 1e-6, state: () => 0 };

it.each(Object.keys(ddpCases))('%s has the losses and gradients of PyTorch by the oracle', (name) => {
  expect(ddpMisses(name, ddpOnOracle(name, 2), exact)).toEqual([]);
});
