/** Who started this process, and which MPI library it must load. Nothing here loads anything. */
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** What a launcher tells a process that it starts as one of several. */
export interface Launch {
  /** MPICH stands for its relatives too: Intel MPI, MVAPICH, Cray's. `unknown` are Slurm and others that serve both kinds. */
  readonly by: 'Open MPI' | 'MPICH' | 'unknown';
  /** How many processes there are, where the launcher tells. */
  readonly size?: number;
  /** This one's number, where the launcher tells. */
  readonly rank?: number;
}

/**
 * Whether `mpirun`, `mpiexec` or `srun` started this process as one of several, by the environment alone.
 * @returns undefined for a process on its own
 */
export function launched(env: Environment = process.env): Launch | undefined {
  const by = launcher(env);
  if (by === undefined) return undefined;
  const size = count(env.OMPI_COMM_WORLD_SIZE ?? env.PMI_SIZE ?? env.SLURM_STEP_NUM_TASKS);
  const rank = count(env.OMPI_COMM_WORLD_RANK ?? env.PMI_RANK ?? env.PMIX_RANK);
  if (size === 1) return undefined;
  return { by, ...(size === undefined ? {} : { size }), ...(rank === undefined ? {} : { rank }) };
}

const count = (text: string | undefined) =>
  text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;

function launcher(env: Environment): Launch['by'] | undefined {
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return 'Open MPI';
  // Hydra, MPICH's launcher.
  if (env.HYDI_CONTROL_FD !== undefined || env.MPI_LOCALNRANKS !== undefined) return 'MPICH';
  return env.PMIX_RANK !== undefined || env.PMI_RANK !== undefined ? 'unknown' : undefined;
}

const OPEN_MPI = ['libmpi.so.40'];
/** Debian's name, that of the others, and that of the binary interface of MPI 5. */
const MPICH = ['libmpich.so.12', 'libmpi.so.12', 'libmpi_abi.so.1'];

/**
 * The libraries to try, in their order. Processes must load the library of their launcher, or each would be a world of one.
 * @param folders of libraries, beside the launcher itself. Names without a folder are the system's to find
 */
export function candidates(
  { by }: Launch,
  env: Environment = process.env,
  folders: readonly string[] = launcherFolders(),
): string[] {
  if (env.MPI_LIBRARY) return [env.MPI_LIBRARY];
  const names = {
    'Open MPI': OPEN_MPI,
    MPICH,
    // Open MPI knows PMIx alone, MPICH's relatives PMI too.
    unknown: env.PMIX_RANK === undefined ? [...MPICH, ...OPEN_MPI] : [...OPEN_MPI, ...MPICH],
  }[by];
  const near = folders
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .filter((path) => existsSync(path));
  return [...near, ...names];
}

const LAUNCHERS = /^(mpirun|mpiexec|orterun|orted|prte|prted|prterun|hydra_pmi_proxy)(\..*)?$/;

/** Where a launcher that isn't the system's has its libraries: beside `bin`, from which an ancestor of this process runs. */
function launcherFolders(): string[] {
  // Between a launcher and us there may be npx, a shell and the like.
  for (let [pid, steps] = [process.ppid, 0]; pid > 1 && steps < 8; steps++) {
    try {
      const program = readlinkSync(`/proc/${pid}/exe`);
      if (LAUNCHERS.test(basename(program)))
        return ['lib', 'lib64'].map((folder) => join(dirname(dirname(program)), folder));
      pid = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
    } catch {
      // Another user's, or no such system.
      return [];
    }
  }
  return [];
}
