/** The processes that train together. */
import { availableParallelism } from 'node:os';
import { BackendError, type Communicator } from '@moco-ts/core';
import type { Handle } from './abi.ts';
import { MpiCommunicator } from './communicator.ts';
import { candidates, type Launch, launched } from './find.ts';
import type { Mpi } from './mpi.ts';
import { ownCores, threadsPerRank } from './threads.ts';

/** The replicas of a training that are processes of their own, on one machine or several. */
export interface World extends Communicator {
  /** What joins them, as it names itself: `Open MPI v4.1.4`; undefined for one process on its own. */
  readonly library: string | undefined;
  /** How many of them are on this machine, and which of those this one is. */
  readonly local: { readonly rank: number; readonly size: number };
  /** For how many threads this machine has cores in each of them. */
  readonly threads: number;
  /**
   * Rank 0's bytes, on all ranks.
   * @param bytes what rank 0 sends; of the others nothing is taken, not even the length
   */
  broadcast(bytes: Uint8Array): Promise<Uint8Array>;
  /** Resolves when all ranks have come here. */
  barrier(): Promise<void>;
  /**
   * Ends all ranks at once, this one included: for one that fails. Say why before.
   * @param code the exit code, that of the launcher too. Default 1
   */
  abort(code?: number): never;
  /** Leaves, once all ranks do. Nothing but an exit comes after it. */
  finalize(): Promise<void>;
}

/**
 * Joins the processes that a launcher of MPI started together. Call it once in a process, on the main thread, and after handlers of
 * signals are set. From then on an exit without `finalize` ends all ranks, with a code that isn't 0.
 * @param env that of the process
 * @returns a world of one, without loading anything, where no launcher started this process as one of several
 * @throws BackendError when the library isn't there, is another's than the launcher's, or fails
 */
export async function openWorld(env: NodeJS.ProcessEnv = process.env): Promise<World> {
  const launch = launched(env);
  if (!launch) return worldOfOne();
  // UCX, which MPICH may load, takes the signal by which V8 notices accesses outside of WebAssembly's memory.
  process.env.UCX_ERROR_SIGNALS ??= '';
  // And it rewrites mmap and brk in place, to keep what it registered with a network card, while threads of V8 call them: about
  // one process in a hundred then lost a page of its heap (UCX 1.13).
  process.env.UCX_MEM_EVENTS ??= 'n';
  const { Mpi } = await nativePart();
  const mpi = new Mpi(candidates(launch, env));
  initialise(mpi, launch);
  return join(mpi);
}

function worldOfOne(): World {
  return {
    rank: 0,
    size: 1,
    library: undefined,
    local: { rank: 0, size: 1 },
    threads: availableParallelism(),
    allReduce: async () => {},
    allGather: async (values, gathered) => gathered.set(values),
    broadcast: async (bytes) => bytes,
    barrier: async () => {},
    abort: (code = 1) => process.exit(code),
    finalize: async () => {},
  };
}

async function nativePart() {
  try {
    return await import('./mpi.ts');
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0];
    throw new BackendError(
      `mpirun started this process, but koffi, which calls MPI, does not load (${reason}): npm install koffi, with its optional packages`,
      { code: 'package-missing', cause },
    );
  }
}

/** @throws BackendError when the processes don't find each other */
function initialise(mpi: Mpi, { by, size: announced }: Launch): void {
  const { threadSerialized, world, errorsReturn } = mpi.abi;
  const provided = mpi.number('Init_thread', null, null, threadSerialized);
  // By default the library ends the process at an error.
  mpi.call('Comm_set_errhandler', world, errorsReturn);
  const size = mpi.number('Comm_size', world);
  let fault: string | undefined;
  if (provided < threadSerialized) fault = `${mpi.version} is built for a single thread`;
  if (announced !== undefined && announced !== size)
    fault = `${by === 'unknown' ? 'the launcher' : `${by}'s mpirun`} started ${announced} processes, but ${mpi.version} finds ${size}`;
  if (fault === undefined) return;
  mpi.call('Finalize');
  throw new BackendError(`${fault}: give the path of the launcher's own library in MPI_LIBRARY`, {
    code: 'backend-unavailable',
  });
}

function join(mpi: Mpi): World {
  const { world, typeShared, infoNull } = mpi.abi;
  const communicator = new MpiCommunicator(mpi);
  const { rank, size } = communicator;
  const neighbours = mpi.handle('Comm_split_type', world, typeShared, rank, infoNull);
  const local = { rank: mpi.number('Comm_rank', neighbours), size: mpi.number('Comm_size', neighbours) };
  const own = ownCores();
  let left = false;
  const abort = (code = 1): never => {
    left = true;
    return mpi.abort(code);
  };
  // MPICH's launcher ends with 0 when a rank exits without having left.
  process.on('exit', (code) => {
    if (!left) abort(code || 1);
  });
  return {
    rank,
    size,
    library: mpi.version,
    local,
    threads: threadsPerRank(coresOf(mpi, neighbours, local.size, own), own, availableParallelism()),
    allReduce: (values) => communicator.allReduce(values),
    allGather: (values, gathered) => communicator.allGather(values, gathered),
    broadcast: (bytes) => communicator.broadcast(bytes),
    barrier: () => communicator.barrier(),
    abort,
    finalize: async () => {
      await mpi.idle();
      left = true;
      mpi.call('Finalize');
    },
  };
}

/** The bytes of a set of cores: for 1024 of them. */
const CORE_BYTES = 128;

/** The cores of each rank of this machine. */
function coresOf(mpi: Mpi, neighbours: Handle, size: number, own: bigint): bigint[] {
  const { byte } = mpi.abi;
  const mine = Buffer.from(own.toString(16).padStart(2 * CORE_BYTES, '0'), 'hex');
  const all = Buffer.alloc(CORE_BYTES * size);
  mpi.call('Allgather', mine, CORE_BYTES, byte, all, CORE_BYTES, byte, neighbours);
  return Array.from({ length: size }, (_, rank) =>
    BigInt(`0x${all.toString('hex', CORE_BYTES * rank, CORE_BYTES * (rank + 1))}`),
  );
}
