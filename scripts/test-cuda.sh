#!/usr/bin/env bash
# The conformance kit on the backends of NVIDIA GPUs, as far as they are usable here; what is not is told, with the reason.
# `moco backends` says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
for pair in ort:cuda=packages/backend-ort tfjs:node-gpu=packages/backend-tfjs; do
  name="${pair%%=*}"
  found="$(node packages/cli/dist/bin.js backends --probe "$name" 2> /dev/null || true)"
  if [[ "$found" == *'"speed"'* ]]; then
    MOCO_CUDA=1 NO_COLOR=1 node scripts/test.mjs --reporter=dot "${pair##*=}" || status=1
  else
    echo "$name: not run: $(node -p 'JSON.parse(process.argv[1]).failure' "$found" 2> /dev/null || echo 'its probe ended')"
  fi
done
exit "$status"
