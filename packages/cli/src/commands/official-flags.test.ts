import { alone, type World } from '@moco-ts/node';
import { expect, it } from 'vitest';
import { moco } from '../testing.ts';
import { inFlags } from '../words.ts';
import { fromOfficial, type OfficialFlags } from './official-flags.ts';

const two: World = { rank: 1, size: 2 };
const xla = { backend: 'xla:cuda' };

it.each([
  // As the official README starts it on a machine.
  [
    { worldSize: 1, rank: 0, distUrl: 'tcp://localhost:10001', multiprocessingDistributed: true },
    { devices: 'all' },
  ],
  [{ gpu: 0 }, { devices: '1' }],
  [{ worldSize: -1, rank: -1, distBackend: 'nccl' }, {}],
  [{ multiprocessingDistributed: true, devices: '0,1' }, { devices: '0,1' }],
] as [OfficialFlags & { devices?: string }, object][])('%o on XLA is %o', (flags, meant) => {
  expect(fromOfficial({ ...xla, ...flags }, () => {})).toEqual({ ...xla, ...meant });
});

it('takes the numbers that mpirun gives, and leaves devices to it', () => {
  const flags = { worldSize: 2, rank: 1, multiprocessingDistributed: true } as const;
  expect(fromOfficial({ ...xla, ...flags }, () => {}, two)).toEqual(xla);
});

it('says what else there is where one device computes', () => {
  const notes: string[] = [];
  const flags = fromOfficial({ multiprocessingDistributed: true }, (text) => notes.push(inFlags(text)));
  expect(flags).toEqual({});
  expect(notes).toEqual([
    '--multiprocessing-distributed: this is one replica; GPUs of a machine share batches with --backend xla:cuda, processes by mpirun -n N moco pretrain ...',
  ]);
});

it('says nothing of the devices of a run that goes on, which its checkpoint knows', () => {
  const notes: unknown[] = [];
  const flags = { multiprocessingDistributed: true, resume: 'runs/a' } as const;
  expect(fromOfficial(flags, (text) => notes.push(text))).toEqual({ resume: 'runs/a' });
  expect(notes).toEqual([]);
});

it('is not what moco train takes, which is one process', async () => {
  const { code, err } = await moco('train', 'photos', '--world-size', '4');
  expect([code, err]).toEqual([1, expect.stringContaining("unknown option '--world-size'")]);
});

it.each([
  [
    { worldSize: 4 },
    alone,
    '--world-size 4: this is one process by itself; start as many by mpirun -n 4 moco pretrain ..., without --rank and --dist-url',
  ],
  [
    { worldSize: 4 },
    two,
    '--world-size 4: mpirun started 2; start as many by mpirun -n 4 moco pretrain ..., without --rank and --dist-url',
  ],
  [
    { rank: 0 },
    two,
    '--rank 0: mpirun -n N moco pretrain ... gives each process its own, and this one has 1; leave it out',
  ],
  [
    { gpu: 3 },
    alone,
    '--gpu 3: choose a device by CUDA_VISIBLE_DEVICES=3 moco pretrain ..., or several by --devices 0,1',
  ],
] as [OfficialFlags, World, string][])('%o is refused with the line to use', (flags, world, line) => {
  try {
    fromOfficial(flags, () => {}, world);
    expect.unreachable();
  } catch (error) {
    expect(inFlags((error as { text: string }).text)).toBe(line);
  }
});
