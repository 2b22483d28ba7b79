#!/usr/bin/env bash
# What commands and the library do to the network and to other people's files: nothing. Each is run under strace (Linux).
set -euo pipefail
cd "$(dirname "$0")/.."

command -v strace > /dev/null || { echo "strace is missing: apt-get install strace" >&2; exit 1; }
exec node scripts/privacy-check.mjs "$@"
