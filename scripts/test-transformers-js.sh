#!/usr/bin/env bash
# The example of transformers.js on an encoder exported for it: its features must be those of ONNX Runtime on the images as
# `moco` prepares them. Nothing else needs the package, so it is installed here alone.
set -euo pipefail
cd "$(dirname "$0")/.."

place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
npm install --silent --ignore-scripts --prefix "$place" @huggingface/transformers@4.3.1
cp examples/transformers-js/features.mjs "$place"
flags='-a resnet-tiny --method moco-v2 --image-size 32 -b 16 --bn-splits 2 --moco-k 64 -j 0 --max-steps 2'
node packages/cli/dist/bin.js pretrain emoji $flags --out "$place/run" > /dev/null
for precision in fp32 fp16 int8; do
  node packages/cli/dist/bin.js export "$place/run" -o "$place/models/emoji" --transformers-js --precision $precision > /dev/null
done
node scripts/transformers-js-check.mjs "$place"
