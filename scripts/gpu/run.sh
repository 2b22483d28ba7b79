#!/usr/bin/env bash
# Run on the machine with the GPU, from what pack.mjs made: bash run.sh FOLDER-FOR-RESULTS [SECONDS-FOR-THE-KIT]
# The kit on WebGPU, steps of ResNet-18 on WebGPU, and PyTorch's steps where python3 has it. Each part has its own limit and its own
# files, so that what fails takes nothing else along.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
out="${1:?bash run.sh FOLDER-FOR-RESULTS [SECONDS-FOR-THE-KIT]}"
seconds="${2:-120}"
mkdir -p "$out"
out="$(cd "$out" && pwd)"
exec > >(tee -a "$out/log.txt") 2>&1

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || echo "no nvidia-smi"
if ! ldconfig -p | grep -q libvulkan.so.1 && compgen -G "$here/debs/*.deb" > /dev/null; then
  for deb in "$here"/debs/*.deb; do dpkg -x "$deb" "$here/root"; done
  export LD_LIBRARY_PATH="$here/root/usr/lib/x86_64-linux-gnu:${LD_LIBRARY_PATH:-}"
fi

timeout $((seconds + 30)) "$here/node" "$here/kit.mjs" webgpu --out "$out/kit.json" --seconds "$seconds" || echo "kit: exit code $?"
for batch in 64 256; do
  timeout 90 "$here/node" "$here/moco_step.mjs" --backend webgpu --batch "$batch" > "$out/webgpu-b$batch.json" || echo "b$batch: exit code $?"
  cat "$out/webgpu-b$batch.json"
done

python3 -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null || { echo "no PyTorch with CUDA: no peers"; exit 0; }
peer() { timeout "$1" python3 "$here/pytorch_gpu_step.py" --out "$out/$2.json" "${@:3}" || echo "$2: exit code $?"; }
peer 120 resnet18 --arch resnet18 --stem cifar --size 32 --bn split --moco-k 4096 --modes tf32,amp
peer 240 resnet50 --modes fp32,tf32,tf32-channels_last,amp,amp-compiled
peer 240 vit_small --method v3 --arch vit_small --modes fp32,tf32,amp,amp-compiled
