#!/usr/bin/env bash
# The conformance kit on the backends of NVIDIA GPUs, as far as they are usable here; what is not is told, with the reason.
# `moco backends` says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
for pair in ort:cuda=packages/backend-ort tfjs:node-gpu=packages/backend-tfjs xla:cuda=packages/backend-xla; do
  name="${pair%%=*}"
  found="$(node --input-type=module -e "
    import { knownDevices, probe } from './packages/node/dist/index.js';
    const device = (await knownDevices()).find(({ name }) => name === '$name');
    console.log(JSON.stringify(await probe(device)));" || true)"
  if [[ "$found" == *'"speed"'* ]]; then
    MOCO_CUDA=1 NO_COLOR=1 node scripts/test.mjs --reporter=dot "${pair##*=}" || status=1
  else
    echo "$name: not run: $(node -p 'JSON.parse(process.argv[1]).failure' "$found" 2> /dev/null || echo 'its probe ended')"
  fi
done
exit "$status"
