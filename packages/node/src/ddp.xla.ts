/** Twenty steps on as many XLA devices as PyTorch's DistributedDataParallel had ranks: parity/ddp.py made the fixtures. */
import { xlaPlugin } from '@moco-ts/backend-xla';
import { expect, it } from 'vitest';
import { ddpCases, ddpMisses, ddpOnBackend, float32Bounds } from '../../backend-ort/src/ddp-testing.ts';

it.each(Object.entries(ddpCases))('%s on XLA, as near to PyTorch as its own float32', async (name, given) => {
  const backend = await xlaPlugin.create({
    device: process.env.MOCO_XLA!,
    devices: String(given.spec.replicas),
  });
  try {
    expect(ddpMisses(name, await ddpOnBackend(backend, name), float32Bounds(given))).toEqual([]);
  } finally {
    await backend.dispose();
  }
});
