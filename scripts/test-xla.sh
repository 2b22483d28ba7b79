#!/usr/bin/env bash
# The conformance kit on XLA's CPU plugins, of two versions of the PJRT API. pip fetches them into FOLDER, or a temporary one.
set -euo pipefail
cd "$(dirname "$0")/.."

place="${1:-$(mktemp -d)}"
trap '[[ -n "${1:-}" ]] || rm -rf "$place"' EXIT
export XDG_CACHE_HOME="$place"
passed=0 failed=0
${MOCO_PIP:-python3 -m pip} download --quiet --no-deps --dest "$place/wheels" lammps-jax-pjrt-cpu==0.11.2 fastatomstruct-xla-cpu==2026.6.23
for device in cpu cpu-older; do
  node packages/cli/dist/bin.js backends install "xla:$device" --from "$place/wheels"
  plugin=$(find "$place/moco/xla/$device" -name '*.so')
  out=$(MOCO_XLA="$plugin" MOCO_XLA_OLDER="${device#cpu}" NO_COLOR=1 node scripts/test.mjs --reporter=dot | tee /dev/stderr | tail -1) || true
  [[ "$out" =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed ]] || { echo "the kit on xla:$device gave no result"; exit 1; }
  passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
done
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
