#!/usr/bin/env bash
# Makes a virtual environment and every fixture: parity/make.sh [python]
# MOCO_PYTHON names an interpreter that already has requirements.txt; then no environment is made.
set -euo pipefail
cd "$(dirname "$0")"
python=${MOCO_PYTHON:-}
if [ -z "$python" ]; then
  [ -x .venv/bin/python ] || "${1:-python3}" -m venv .venv
  .venv/bin/python -m pip install --quiet -r requirements.txt
  python=.venv/bin/python
fi
"$python" check_replay.py
"$python" ddp_check.py
for name in ops fixtures methods steps ddp precision lightly_methods names views vit vit_traits vectors; do "$python" "$name.py"; done
# Pickles hold addresses: each run of it gives other bytes of the same meaning, which are no reason to commit them.
"$python" exchange.py
# What needs a build, as npm run setup makes it.
if [ -f ../packages/cli/dist/bin.js ]; then "$python" detectron2.py; else echo "detectron2: needs a build, left out"; fi
