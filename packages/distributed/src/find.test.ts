import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { candidates, launched } from './find.ts';

/** What launchers set, as seen in processes of Open MPI 4.1, MPICH 4.0 and 5.0, and Slurm's manual has it. */
const environments = {
  'mpirun of Open MPI': { OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_RANK: '2', PMIX_RANK: '2' },
  'mpiexec of MPICH': {
    PMI_SIZE: '4',
    PMI_RANK: '2',
    PMI_FD: '6',
    HYDI_CONTROL_FD: '7',
    MPI_LOCALNRANKS: '4',
  },
  'srun by PMIx': { PMIX_RANK: '2', SLURM_STEP_NUM_TASKS: '4', SLURM_NTASKS: '8' },
  'srun by PMI-2': { PMI_RANK: '2', PMI_SIZE: '4', PMI_FD: '6', SLURM_NTASKS: '8' },
};
const [MPICH, OPEN_MPI] = [['libmpich.so.12', 'libmpi.so.12', 'libmpi_abi.so.1'], ['libmpi.so.40']];

it.each([
  ['mpirun of Open MPI', 'Open MPI', OPEN_MPI],
  ['mpiexec of MPICH', 'MPICH', MPICH],
  ['srun by PMIx', 'unknown', [...OPEN_MPI, ...MPICH]],
  ['srun by PMI-2', 'unknown', [...MPICH, ...OPEN_MPI]],
] as const)('%s is known, and its libraries come first', (name, by, libraries) => {
  const launch = launched(environments[name])!;
  expect(launch).toEqual({ by, size: 4, rank: 2 });
  expect(candidates(launch, environments[name], [])).toEqual(libraries);
});

it.each([
  ['a process on its own', {}],
  ['the script of a Slurm job', { SLURM_NTASKS: '4', SLURM_JOB_ID: '1', SLURM_PROCID: '0' }],
  ['a world of one', { OMPI_COMM_WORLD_SIZE: '1', OMPI_COMM_WORLD_RANK: '0' }],
  ['a shell in which a library is named', { MPI_LIBRARY: 'libmpi.so.40' }],
])('%s is not one of several', (_, env) => {
  expect(launched(env)).toBeUndefined();
});

it('a launcher that tells no size is one all the same', () => {
  expect(launched({ PMIX_RANK: '0' })).toEqual({ by: 'unknown', rank: 0 });
});

it('MPI_LIBRARY goes before all, and what lies beside the launcher before the system', () => {
  const folder = mkdtempSync(join(tmpdir(), 'moco-mpi-'));
  try {
    writeFileSync(join(folder, 'libmpi_abi.so.1'), '');
    expect(candidates({ by: 'MPICH' }, {}, ['/nowhere', folder])).toEqual([
      join(folder, 'libmpi_abi.so.1'),
      ...MPICH,
    ]);
    expect(candidates({ by: 'MPICH' }, { MPI_LIBRARY: '/opt/libmpi.so' }, [folder])).toEqual([
      '/opt/libmpi.so',
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
