#!/usr/bin/env bash
# The page of apps/web, built and served, in Chromium: MOCO_CHROMIUM names it, else it is found in the PATH. WebGPU runs in
# software where there is no GPU. Further arguments go to the test runner; MOCO_SCREENSHOTS=FOLDER keeps images of the page.
# Three minutes on two cores, most of them for WebGPU in software.
set -euo pipefail
cd "$(dirname "$0")/.."
(cd apps/web && node node_modules/vite/bin/vite.js build --logLevel error)
MOCO_WEB=1 NO_COLOR=1 node scripts/test.mjs --no-file-parallelism "$@"
