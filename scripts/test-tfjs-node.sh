#!/usr/bin/env bash
# The conformance kit on tfjs:node. The binding is built first (scripts/build-tfjs-node.sh), in FOLDER or a temporary one.
set -euo pipefail
cd "$(dirname "$0")/.."

place="${1:-$(mktemp -d)}"
link=packages/node_modules/@tensorflow/tfjs-node
trap 'rm -rf "$link"; [[ -n "${1:-}" ]] || rm -rf "$place"' EXIT
[[ -e "$place/node_modules/@tensorflow/tfjs-node/build.log" ]] || scripts/build-tfjs-node.sh "$place"
mkdir -p "$(dirname "$link")"
ln -sfn "$(cd "$place" && pwd)/node_modules/@tensorflow/tfjs-node" "$link"
MOCO_TFJS_NODE=1 NO_COLOR=1 TF_CPP_MIN_LOG_LEVEL=2 node scripts/test.mjs --reporter=dot
