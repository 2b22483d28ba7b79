#!/usr/bin/env bash
# The conformance kit on ONNX Runtime in blocks of 8 channels: on a processor with AVX2 and no AVX-512, which qemu
# (Debian's qemu-user) pretends to be. In one process, since qemu runs no child under itself.
set -euo pipefail
cd "$(dirname "$0")/.."
export NO_COLOR=1
emulated() { qemu-x86_64 -cpu Haswell "$(command -v node)" "$@" 2> >(grep -v '^qemu-x86_64: warning' >&2); }

block="$(emulated -e "import('./packages/backend-ort/dist/index.js').then(async ({ ortPlugin }) => {
  console.log((await ortPlugin.create({})).capabilities().lowering);
})")"
[[ "$block" == NCHW8c ]] || { echo "expected blocks of 8 channels, found $block" >&2; exit 1; }
emulated node_modules/vitest/vitest.mjs run --pool=threads --project backend-ort \
  packages/backend-ort/src/conformance.test.ts -t '^ort ' --reporter=dot
