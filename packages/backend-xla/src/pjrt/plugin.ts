/** A PJRT plugin: a shared library with one symbol, `GetPjrtApi`, which gives a table of functions. */
import { BackendError } from '@moco-ts/core';
import koffi from 'koffi';
import { libraryFault } from './elf.ts';
import { type ApiName, api, errorCodeName } from './layout.ts';
import { CStruct, textAt, type Word, wordsAt } from './memory.ts';

// koffi calls C on stacks of its own. XLA's compiler needs more than the 128 KiB that asynchronous calls get: it crashes. Where MPI is
// loaded they are as large already, and can't be changed any more.
const STACK = 16 << 20;
if (koffi.config().async_stack_size! < STACK)
  koffi.config({ sync_stack_size: STACK, async_stack_size: STACK });

/** Every function takes a struct and gives an error or null; those that free errors give nothing. */
const apiFunction = koffi.proto('void *pjrt_function(void *args)');

/** `PJRT_Api`: size, extensions, version (size, extensions, two ints), then the functions. */
const TABLE = 5;
const VERSION_OFFSET = 32;

const RTLD_NOW = 0x2;
const RTLD_NODELETE = 0x1000;

/** A call that the plugin refused. `status` is PJRT's name of the error's code, `RESOURCE_EXHAUSTED` when memory is short. */
export class PjrtError extends BackendError {
  readonly status: string;
  constructor(status: string, message: string) {
    super(`XLA: ${message} (${status})`, status === 'RESOURCE_EXHAUSTED' ? { code: 'backend-memory' } : {});
    this.status = status;
  }
}

const noPlugin = (path: string, fault: string) =>
  new BackendError(`${path} is no PJRT plugin: ${fault}`, { code: 'backend-unavailable' });

export class PjrtPlugin {
  readonly path: string;
  /** Of the C API: 0.106. */
  readonly version: readonly [major: number, minor: number];
  private readonly table: readonly Word[];
  private readonly asynchronous = new Map<ApiName, ReturnType<typeof koffi.decode>>();

  /** @throws BackendError when the file can't be loaded, or is no PJRT plugin */
  constructor(path: string) {
    this.path = path;
    const fault = libraryFault(path);
    if (fault !== undefined) throw noPlugin(path, fault);
    let pointer: Word;
    try {
      // Without NODELETE the process crashes at its end, when koffi unloads a library whose threads still run.
      koffi.load(null).func('void *dlopen(const char *path, int flags)')(path, RTLD_NOW | RTLD_NODELETE);
      pointer = BigInt(koffi.load(path).func('void *GetPjrtApi()')());
    } catch (error) {
      throw noPlugin(path, (error as Error).message);
    }
    const head = new DataView(koffi.view(pointer, VERSION_OFFSET + 8));
    const size = Number(head.getBigUint64(0, true));
    this.version = [head.getInt32(VERSION_OFFSET, true), head.getInt32(VERSION_OFFSET + 4, true)];
    this.table = wordsAt(pointer, size / 8);
    this.call('Plugin_Initialize');
  }

  /**
   * Calls a function.
   * @param fill sets the arguments
   * @returns the arguments, for what came back in them
   * @throws PjrtError
   */
  call(name: ApiName, fill?: (args: CStruct) => unknown): CStruct {
    const args = this.filled(name, fill);
    const error = koffi.call(this.address(name), apiFunction, args.bytes);
    if (error) throw this.errorAt(BigInt(error));
    return args;
  }

  /** Calls a function on a thread of its own: for what takes long. */
  callAsync(name: ApiName, fill?: (args: CStruct) => unknown): Promise<CStruct> {
    const args = this.filled(name, fill);
    let callable = this.asynchronous.get(name);
    if (!callable) {
      callable = koffi.decode(this.address(name), apiFunction);
      this.asynchronous.set(name, callable);
    }
    return new Promise((resolve, reject) => {
      callable.async(args.bytes, (failure: unknown, error: unknown) => {
        if (failure) reject(failure);
        else if (error) reject(this.errorAt(BigInt(error as Word)));
        else resolve(args);
      });
    });
  }

  /** A text that a function gives as a pointer and a size. */
  text(name: ApiName, subject: string, handle: Word, field: string): string {
    const args = this.call(name, (a) => a.word(subject, handle));
    return textAt(args.readWord(field), Number(args.readWord(`${field}_size`)));
  }

  private filled(name: ApiName, fill?: (args: CStruct) => unknown): CStruct {
    const args = new CStruct(api[name]);
    fill?.(args);
    return args;
  }

  private address(name: ApiName): Word {
    const address = this.table[TABLE + api[name].slot];
    if (!address)
      throw new PjrtError('UNIMPLEMENTED', `${this.path} (API ${this.version.join('.')}) has no ${name}`);
    return address;
  }

  /** Reads an error and frees it. */
  private errorAt(error: Word): PjrtError {
    const of = (name: ApiName) => {
      const args = this.filled(name, (a) => a.word('error', error));
      koffi.call(this.address(name), apiFunction, args.bytes);
      return args;
    };
    const [message, code] = [of('Error_Message'), of('Error_GetCode')];
    const text = textAt(message.readWord('message'), Number(message.readWord('message_size')));
    of('Error_Destroy');
    return new PjrtError(errorCodeName(code.readInt('code')), text);
  }
}
