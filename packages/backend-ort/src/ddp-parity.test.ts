/** Steps of several replicas against PyTorch's DistributedDataParallel: parity/ddp.py made the fixtures. */
import { describe, expect, it } from 'vitest';
import { type DdpBounds, ddpCases, ddpMisses, ddpOnOracle } from './ddp-testing.ts';
import { relative, sample } from './parity-testing.ts';

/** Rounding apart: a graph holds its constants in float32. */
const exact: DdpBounds = { loss: () => 1e-6, gradient: 1e-6, state: () => 0 };

describe.each(Object.entries(ddpCases))('%s by the oracle', (name, given) => {
  const played = ddpOnOracle(name, 2);

  it('has the losses and gradients of PyTorch', () => {
    expect(ddpMisses(name, played, exact)).toEqual([]);
  });

  it("has each rank's running statistics", () => {
    expect(given.ranks).toHaveLength(played.own.length);
    for (const [rank, facts] of given.ranks.entries())
      for (const [key, fact] of Object.entries(facts)) {
        const ours = sample(played.own[rank]![key]!.data, given.sample);
        // Some means are 0 but for rounding: those behind a normalisation.
        const error = relative(ours, fact.sample) * Math.min(1, fact.norm / 1e-6);
        expect(error, `${key} of rank ${rank}`).toBeLessThan(1e-6);
      }
  });
});
