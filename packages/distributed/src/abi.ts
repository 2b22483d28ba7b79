/** What differs between the binary interfaces of MPI libraries: how handles look, and the numbers. From their `mpi.h`. */

/** A number, or an address. */
export type Handle = number | bigint;

/** The type of the handles in C, and those that are predefined. */
export interface Abi {
  readonly name: 'Open MPI' | 'MPICH' | 'MPI ABI';
  readonly handle: 'int' | 'void *';
  readonly world: Handle;
  readonly float: Handle;
  readonly byte: Handle;
  readonly sum: Handle;
  readonly infoNull: Handle;
  readonly errorsReturn: Handle;
  readonly inPlace: bigint;
  readonly typeShared: number;
  readonly threadSerialized: number;
}

/** Open MPI 4 and 5: handles are the addresses of objects that the library exports. */
const openMpi = (addressOf: (symbol: string) => Handle): Abi => ({
  name: 'Open MPI',
  handle: 'void *',
  world: addressOf('ompi_mpi_comm_world'),
  float: addressOf('ompi_mpi_float'),
  byte: addressOf('ompi_mpi_byte'),
  sum: addressOf('ompi_mpi_op_sum'),
  infoNull: addressOf('ompi_mpi_info_null'),
  errorsReturn: addressOf('ompi_mpi_errors_return'),
  inPlace: 1n,
  typeShared: 0,
  threadSerialized: 2,
});

/** MPICH 3 to 5, Intel MPI, MVAPICH and Cray's: handles are numbers. */
const mpich: Abi = {
  name: 'MPICH',
  handle: 'int',
  world: 0x44000000,
  float: 0x4c00040a,
  byte: 0x4c00010d,
  sum: 0x58000003,
  infoNull: 0x1c000000,
  errorsReturn: 0x54000001,
  inPlace: 0xffff_ffff_ffff_ffffn,
  typeShared: 1,
  threadSerialized: 2,
};

/** The standard's own (MPI 5.0, chapter 20): handles are pointers, the predefined ones small numbers. */
const standard: Abi = {
  name: 'MPI ABI',
  handle: 'void *',
  world: 0x101n,
  float: 0x210n,
  byte: 0x247n,
  sum: 0x21n,
  infoNull: 0x130n,
  errorsReturn: 0x143n,
  inPlace: 1n,
  typeShared: 221,
  threadSerialized: 2048,
};

/** A loaded library, as far as this file asks. */
export interface Library {
  /** An address, or undefined where the library has no such symbol. */
  addressOf(symbol: string): Handle | undefined;
  /** The major version that `MPI_Abi_get_version` gives, which may be called before `MPI_Init`. */
  abiVersion(): number;
}

/**
 * The interface of a library, told by its symbols: file names lie (`libmpi.so.12` is four vendors', `libmpi.so` anyone's).
 * @returns undefined for one that isn't known here: no MPI at all, or a later standard's
 */
export function abiOf({ addressOf, abiVersion }: Library): Abi | undefined {
  if (addressOf('MPI_Init_thread') === undefined) return undefined;
  if (addressOf('ompi_mpi_comm_world') !== undefined) return openMpi((symbol) => addressOf(symbol)!);
  if (addressOf('MPI_Abi_get_version') === undefined) return mpich;
  const version = abiVersion();
  if (version === 1) return standard;
  // MPICH 5 has the function in the library of its own interface too, where it gives -1.
  return version < 1 ? mpich : undefined;
}
