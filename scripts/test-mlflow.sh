#!/usr/bin/env bash
# `--log mlflow` against MLflow's own server, from PyPI. MOCO_MLFLOW names a command `mlflow` that is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

work="$(mktemp -d)"
set -m # The server and its workers are one group of processes.
trap '[[ -z "${server:-}" ]] || kill -- "-$server" 2> /dev/null || true; rm -rf "$work"' EXIT
mlflow="${MOCO_MLFLOW:-}"
if [[ -z "$mlflow" ]]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet mlflow==3.17.2
  mlflow="$work/venv/bin/mlflow"
fi

port="$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
"$mlflow" server --host 127.0.0.1 --port "$port" --workers 1 \
  --backend-store-uri "sqlite:///$work/mlflow.db" --artifacts-destination "$work/artifacts" > "$work/server.log" 2>&1 &
server=$!
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do
  kill -0 "$server" 2> /dev/null || { cat "$work/server.log" >&2; exit 1; }
  sleep 1
done
node scripts/mlflow-check.mjs "http://127.0.0.1:$port" "$work"
