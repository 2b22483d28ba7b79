#!/usr/bin/env bash
# Ranks under launchers of MPI: Open MPI's and MPICH's of the system, and that of PyPI's mpich, which has the binary interface of MPI 5,
# installed into FOLDER or a temporary one. Tests: tests/mpi/*.mpi.ts.
set -euo pipefail
cd "$(dirname "$0")/.."

place="${1:-$(mktemp -d)}"
trap '[[ -n "${1:-}" ]] || rm -rf "$place"' EXIT
launchers=(mpirun.openmpi mpirun.mpich)
for each in "${launchers[@]}"; do
  command -v "$each" > /dev/null || { apt-get update -q && apt-get install -y -q openmpi-bin mpich; } > /dev/null
done
[[ -e "$place/bin/mpiexec" ]] || { python3 -m venv "$place" && "$place/bin/pip" install --quiet mpich==5.0.2; }
MOCO_MPI="$(IFS=,; echo "${launchers[*]}"),$place/bin/mpiexec" node scripts/test.mjs --maxWorkers 1 "${@:2}"
