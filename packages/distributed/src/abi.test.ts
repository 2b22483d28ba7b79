import { expect, it } from 'vitest';
import { abiOf } from './abi.ts';

/** A library with these symbols, each at an address of its own. */
const library = (symbols: readonly string[], version = 0) => ({
  addressOf: (symbol: string) =>
    symbols.includes(symbol) ? BigInt(1000 + symbols.indexOf(symbol)) : undefined,
  abiVersion: () => version,
});
const OPEN_MPI = [
  ...['MPI_Init_thread', 'ompi_mpi_comm_world', 'ompi_mpi_float', 'ompi_mpi_byte', 'ompi_mpi_op_sum'],
  ...['ompi_mpi_info_null', 'ompi_mpi_errors_return'],
];

it("Open MPI's handles are addresses of its symbols", () => {
  expect(abiOf(library(OPEN_MPI))).toMatchObject({
    name: 'Open MPI',
    handle: 'void *',
    world: 1001n,
    float: 1002n,
    byte: 1003n,
    sum: 1004n,
    infoNull: 1005n,
    errorsReturn: 1006n,
  });
});

it.each([
  ['MPICH', ['MPI_Init_thread'], 0],
  // Of MPICH 5, which has the function in both of its libraries.
  ['MPICH', ['MPI_Init_thread', 'MPI_Abi_get_version'], -1],
  ['MPI ABI', ['MPI_Init_thread', 'MPI_Abi_get_version'], 1],
  [undefined, ['MPI_Init_thread', 'MPI_Abi_get_version'], 2],
  [undefined, ['cos'], 0],
])('is %s by the symbols %j, version %i', (name, symbols, version) => {
  expect(abiOf(library(symbols, version))?.name).toBe(name);
});
