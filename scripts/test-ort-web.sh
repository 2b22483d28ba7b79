#!/usr/bin/env bash
# An exported encoder in onnxruntime-web, in Node and in a browser: the features must be those of onnxruntime-node. Nothing else
# needs the 150 MB of the package, so it is installed here alone.
set -euo pipefail
cd "$(dirname "$0")/.."

place="$(mktemp -d)"
trap 'rm -rf "$place"' EXIT
npm install --silent --ignore-scripts --prefix "$place" onnxruntime-web@1.30.0
flags='--method moco-v2 --image-size 16 -b 16 --bn-splits 2 --moco-k 64 -j 0 --max-steps 2'
for arch in resnet-tiny 'vit_tiny --patch-size 8'; do
  node packages/cli/dist/bin.js pretrain emoji -a $arch $flags --out "$place/${arch%% *}" > /dev/null
  for form in '' --with-preprocess; do
    node packages/cli/dist/bin.js export "$place/${arch%% *}" -o "$place/${arch%% *}$form.onnx" $form > /dev/null
  done
done
node scripts/ort-web-check.mjs "$place" "$place"/*.onnx
