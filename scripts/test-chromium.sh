#!/usr/bin/env bash
# The conformance kit on WebGPU in a browser: headless Chromium, on its GPU or in software. About a minute on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

browser="${MOCO_CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}"
[[ -n "$browser" ]] || { echo 'no Chromium is found: install it, or name it by MOCO_CHROMIUM=PATH' >&2; exit 1; }
MOCO_CHROMIUM_KIT=1 MOCO_CHROMIUM="$browser" NO_COLOR=1 node scripts/test.mjs --reporter=dot "$@"
