import { availableParallelism, platform } from 'node:os';
import { expect, it } from 'vitest';
import { ownCores, threadsPerRank } from './threads.ts';

it.each([
  // [what, cores of each rank, those of this one, what Node counts, threads]
  ['one rank on four cores', [0b1111n], 0b1111n, 4, 4],
  ['two ranks on four cores', [0b1111n, 0b1111n], 0b1111n, 4, 2],
  ['three ranks on four cores', [0b1111n, 0b1111n, 0b1111n], 0b1111n, 4, 1],
  ['more ranks than cores', [0b11n, 0b11n, 0b11n], 0b11n, 2, 1],
  ['two ranks, each bound to a core', [0b01n, 0b10n], 0b10n, 1, 1],
  ['four ranks, two on each of two sockets', [0x0fn, 0x0fn, 0xf0n, 0xf0n], 0xf0n, 4, 2],
  ['two ranks bound to the same core', [0b1n, 0b1n], 0b1n, 1, 1],
  ["two ranks in a container with four cores' time of sixteen", [0xffffn, 0xffffn], 0xffffn, 4, 2],
  ['two ranks where the system tells no cores', [0n, 0n], 0n, 8, 4],
])('%s', (_, ranks, own, available, threads) => {
  expect(threadsPerRank(ranks, own, available)).toBe(threads);
});

it.runIf(platform() === 'linux')('counts as many cores as Node does, or more where time is shared', () => {
  expect(ownCores().toString(2).replaceAll('0', '').length).toBeGreaterThanOrEqual(availableParallelism());
});
