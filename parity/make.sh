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
for script in ops.py fixtures.py methods.py steps.py precision.py lightly_methods.py names.py views.py; do "$python" "$script"; done
