#!/usr/bin/env bash
# The pages that commands write, in Chromium: MOCO_CHROMIUM names it, else it is found in the PATH. Further arguments go to
# the test runner. MOCO_SCREENSHOTS=FOLDER keeps the images for people to look at.
set -euo pipefail
cd "$(dirname "$0")/.."
MOCO_PAGES=1 NO_COLOR=1 node scripts/test.mjs --reporter=dot "$@"
