#!/usr/bin/env bash
# XLA's CPU plugins, of two versions of the PJRT API, at once: the conformance kit on both, kills and memory on the newer, every method by
# the command on the older. pip fetches them into FOLDER, or a temporary one.
set -euo pipefail
cd "$(dirname "$0")/.."

place="${1:-$(mktemp -d)}"
trap '[[ -n "${1:-}" ]] || rm -rf "$place"' EXIT
export XDG_CACHE_HOME="$place" NO_COLOR=1
# What compiles most is no check of LLVM's optimisations, which take half of the time.
quick='--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'

${MOCO_PIP:-python3 -m pip} download --quiet --no-deps --dest "$place/wheels" lammps-jax-pjrt-cpu==0.11.2 fastatomstruct-xla-cpu==2026.6.23
for device in cpu cpu-older; do
  node packages/cli/dist/bin.js backends install "xla:$device" --from "$place/wheels"
done
plugin() { find "$place/moco/xla/$1" -name '*.so' | grep .; }
cpu=$(plugin cpu) cpu_older=$(plugin cpu-older)

newer() {
  MOCO_XLA=$cpu node scripts/test.mjs --reporter=dot --maxWorkers 1 packages/backend-xla packages/node
  XLA_FLAGS=$quick node tests/faults/main.mjs --quick --backend "xla:$cpu" --only kills,interrupts,long
}
older() { MOCO_XLA=$cpu_older MOCO_XLA_OLDER=1 XLA_FLAGS=$quick node scripts/test.mjs --reporter=dot --maxWorkers 1; }
counts='s/^([0-9]+) passed, ([0-9]+) failed.*/\1 \2/p'

older > "$place/older.log" 2>&1 &
{ newer 2>&1 || true; } | tee "$place/newer.log"
wait $! || true
cat "$place/older.log"
read -r results passed failed < <(sed -nE "$counts" "$place"/{newer,older}.log | awk '{ p += $1; f += $2 } END { print NR, p + 0, f + 0 }')
[[ $results == 3 ]] || { echo "a plugin gave no result"; exit 1; }
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
