#!/usr/bin/env bash
# The GPU programme on a bare machine: unpacks moco-gpu.tar.xz, which lies beside this script, and runs it there.
#
#   bash run.sh FOLDER-FOR-RESULTS [--seconds 590] [--only PATTERN] [--python python3] [--device cpu --tiny]
#
# The machine has an NVIDIA GPU with its driver, and Python with PyTorch and jax-cuda13-pjrt (0.11) and the libraries that it needs. It
# needs no Node and no network. What is missing costs the parts that need it.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
results="${1:?bash run.sh FOLDER-FOR-RESULTS}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
tar -xJf "$here/moco-gpu.tar.xz" -C "$work" 2> /dev/null \
  || python3 -m tarfile -e "$here/moco-gpu.tar.xz" "$work" \
  || { echo "$here/moco-gpu.tar.xz could not be unpacked: xz or python3 is needed" >&2; exit 1; }
"$work/moco-gpu/node" "$work/moco-gpu/app/programme.js" "$results" "${@:2}"
