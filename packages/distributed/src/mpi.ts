/** MPI's functions through koffi. Importing this loads koffi, constructing an `Mpi` the library. */
import { BackendError } from '@moco-ts/core';
import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi';
import { type Abi, abiOf, type Handle } from './abi.ts';

// MPICH's first sum overflows the 128 KiB that asynchronous calls get, and the process dies without a word. It can be changed only
// before the first library is loaded; XLA's backend asks for as much. Pages that are never touched cost nothing.
const STACK = 16 << 20;
if (koffi.config().async_stack_size! < STACK)
  koffi.config({ sync_stack_size: STACK, async_stack_size: STACK });

/** What the functions take: C types, `handle` for what the interface has in its place. */
const signatures = {
  Init_thread: ['void *', 'void *', 'int', 'void *'],
  Finalize: [],
  Abort: ['handle', 'int'],
  Get_version: ['void *', 'void *'],
  Get_library_version: ['void *', 'void *'],
  Error_string: ['int', 'void *', 'void *'],
  Comm_set_errhandler: ['handle', 'handle'],
  Comm_rank: ['handle', 'void *'],
  Comm_size: ['handle', 'void *'],
  Comm_split_type: ['handle', 'int', 'int', 'handle', 'void *'],
  Allreduce: ['void *', 'void *', 'int', 'handle', 'handle', 'handle'],
  Allgather: ['void *', 'int', 'handle', 'void *', 'int', 'handle', 'handle'],
  Bcast: ['void *', 'int', 'handle', 'int', 'handle'],
  Barrier: ['handle'],
} as const;
type Name = keyof typeof signatures;
type Argument = Handle | ArrayBufferView | null;
type Call = KoffiFunc<(...args: Argument[]) => number>;

export class Mpi {
  readonly abi: Abi;
  /** `Open MPI v4.1.4`, `MPICH 4.0.2` */
  readonly version: string;
  private readonly library: LibraryHandle;
  private readonly functions = new Map<Name, Call>();
  /** Calls on other threads go one after the other, so that the thread level `serialized` is enough. */
  private last: Promise<unknown> = Promise.resolve();

  /**
   * Loads a library, without initialising it.
   * @param names to try, in their order
   * @throws BackendError when none of them is a library of MPI that is known here
   */
  constructor(names: readonly string[]) {
    const { name, library } = load(names);
    this.library = library;
    const abi = abiOf({
      addressOf: (symbol) => symbolOf(library, symbol),
      abiVersion: () => {
        const [major, minor] = [new Int32Array(1), new Int32Array(1)];
        library.func('MPI_Abi_get_version', 'int', ['void *', 'void *'])(major, minor);
        return major[0]!;
      },
    });
    if (!abi)
      throw new BackendError(
        `${name} is no library of MPI that is known here: Open MPI, MPICH and the MPI ABI 1 are`,
        {
          code: 'backend-unavailable',
        },
      );
    this.abi = abi;
    // Both may be called before MPI_Init.
    this.version = this.text('Get_library_version')
      .replace(/ Version:\s*/, ' ')
      .replace(/[,\n].*$/s, '')
      .trim();
    const [major, minor] = [new Int32Array(1), new Int32Array(1)];
    this.call('Get_version', major, minor);
    if (major[0]! < 3)
      throw new BackendError(
        `${name} (${this.version}) is MPI ${major[0]}.${minor[0]}; 3.0 or newer is needed`,
        {
          code: 'backend-unavailable',
        },
      );
  }

  /** @throws BackendError when the function gives an error */
  call(name: Name, ...args: Argument[]): void {
    this.check(name, this.function(name)(...args));
  }

  /** Calls a function on a thread of its own, after those called so before. The caller leaves arrays alone until it is done. */
  callAsync(name: Name, ...args: Argument[]): Promise<void> {
    const call = this.function(name);
    const begin = () =>
      new Promise<void>((resolve, reject) =>
        call.async(...args, (error: Error | null, code: number) => {
          // Until here the arrays must live.
          args.length = 0;
          if (error) return reject(error);
          try {
            resolve(this.check(name, code));
          } catch (failure) {
            reject(failure);
          }
        }),
      );
    const done = this.last.then(begin);
    this.last = done.catch(() => {});
    return done;
  }

  /** Ends all ranks, this one included, where the library comes back from it too. */
  abort(code: number): never {
    leaveAtOnce();
    this.function('Abort')(this.abi.world, code);
    process.kill(process.pid, 'SIGKILL');
    throw new Error('the process survived SIGKILL');
  }

  /** When all calls on other threads are done. */
  idle(): Promise<unknown> {
    return this.last;
  }

  /** A number that a function writes to its last argument. */
  number(name: Name, ...args: Argument[]): number {
    const value = new Int32Array(1);
    this.call(name, ...args, value);
    return value[0]!;
  }

  /** A handle that a function writes to its last argument. */
  handle(name: Name, ...args: Argument[]): Handle {
    const value = this.abi.handle === 'int' ? new Int32Array(1) : new BigInt64Array(1);
    this.call(name, ...args, value);
    return value[0]!;
  }

  private text(name: Name, ...args: Argument[]): string {
    const [bytes, length] = [new Uint8Array(8192), new Int32Array(1)];
    this.function(name)(...args, bytes, length);
    return new TextDecoder('latin1').decode(bytes.subarray(0, length[0]!)).replace(/\0.*$/s, '').trim();
  }

  private check(name: Name, code: number): void {
    if (code === 0) return;
    throw new BackendError(`MPI_${name}: ${this.text('Error_string', code)}`, { code: 'replica-lost' });
  }

  private function(name: Name): Call {
    let found = this.functions.get(name);
    if (!found) {
      const types = signatures[name].map((type) => (type === 'handle' ? this.abi.handle : type));
      found = this.library.func(`MPI_${name}`, 'int', types) as Call;
      this.functions.set(name, found);
    }
    return found;
  }
}

/**
 * MPI_Abort ends in C's `exit`, which takes down what V8's threads still use: now and then the process died of that, with another code.
 * So what `exit` calls first is `_exit`.
 */
function leaveAtOnce(): void {
  const c = koffi.load(null);
  const [leave, register] = [symbolOf(c, '_exit'), symbolOf(c, 'on_exit')];
  if (leave !== undefined && register !== undefined)
    c.func('on_exit', 'int', ['void *', 'void *'])(leave, null);
}

function load(names: readonly string[]) {
  const failures: string[] = [];
  for (const name of names) {
    try {
      // Global: Open MPI's plugins look for symbols of the library that loads them.
      return { name, library: koffi.load(name, { global: true }) };
    } catch (error) {
      const { message } = error as Error;
      failures.push(`${name}: ${message.replace(/^Failed to load shared library: /, '')}`);
    }
  }
  throw new BackendError(
    `mpirun started this process, but its library does not load (${failures.join('; ')}): install it, or give its path in MPI_LIBRARY`,
    { code: 'backend-unavailable' },
  );
}

function symbolOf(library: LibraryHandle, name: string): Handle | undefined {
  try {
    return library.symbol(name);
  } catch {
    return undefined;
  }
}
