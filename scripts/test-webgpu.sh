#!/usr/bin/env bash
# The conformance kit on WebGPU in Node, through Dawn (npm's `webgpu`), on the GPU that Vulkan finds or in software on the
# SwiftShader that Debian's chromium brings. Nothing else needs the 130 MB of the package, so it is installed here alone.
set -euo pipefail
cd "$(dirname "$0")/.."

place="$(mktemp -d)"
link=packages/node_modules/webgpu
trap 'rm -rf "$place" "$link"' EXIT
npm install --silent --ignore-scripts --prefix "$place" webgpu@0.6.2
mkdir -p packages/node_modules
ln -sfn "$place/node_modules/webgpu" "$link"

software=/usr/lib/chromium/vk_swiftshader_icd.json
if [[ -z "${VK_DRIVER_FILES:-}" && ! -e /dev/nvidia0 && ! -d /dev/dri && -e "$software" ]]; then
  export VK_DRIVER_FILES="$software"
fi
MOCO_GPU=1 NO_COLOR=1 node scripts/test.mjs --reporter=dot "$@"
