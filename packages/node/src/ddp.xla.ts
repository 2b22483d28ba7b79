/** Twenty steps on as many XLA devices as PyTorch's DistributedDataParallel had ranks: parity/ddp.py made the fixtures. */
import { xlaPlugin } from '@moco-ts/backend-xla';
import { expect, it } from 'vitest';
import { ddpCases, ddpMisses, ddpOnBackend, float32Bounds } from '../../backend-ort/src/ddp-testing.ts';

// One of each kind: XLA compiles a step for longer than twenty of them take.
const names = ['v2-4', 'v2-sync-4', 'v3-vit-2'];

it.each(names)('%s on XLA, as near to PyTorch as its own float32', async (name) => {
  const given = ddpCases[name]!;
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
