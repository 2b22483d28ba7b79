#!/usr/bin/env bash
# Builds the native binding of @tensorflow/tfjs-node against the libtensorflow in PyPI's tensorflow-cpu, for where the
# prebuilt one can't be downloaded: scripts/build-tfjs-node.sh FOLDER [TENSORFLOW_VERSION]
# Needs a C++ compiler, make and Python 3 with pip; npm and PyPI are all that it downloads from.
set -euo pipefail
version=4.22.0
tensorflow="${2:-2.21.0}"
core="$(cd "$(dirname "$0")/.." && node -p 'require("fs").realpathSync("packages/backend-tfjs/node_modules/@tensorflow/tfjs-core")')"
mkdir -p "$1"
cd "$1"
place="$PWD"

[[ -f package.json ]] || echo '{ "private": true }' > package.json
npm install --silent --no-audit --ignore-scripts "@tensorflow/tfjs-node@$version"
# One tfjs-core for both: backends register with the copy that they were loaded with.
rm -rf node_modules/@tensorflow/tfjs-core
ln -s "$core" node_modules/@tensorflow/tfjs-core

package="$place/node_modules/@tensorflow/tfjs-node"
if [[ ! -e wheel/done ]]; then
  mkdir -p wheel
  python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 311 --implementation cp \
    --dest wheel "tensorflow-cpu==$tensorflow"
  touch wheel/done
fi
rm -rf "$package/deps" "$package/build" "$package/lib"
python3 - "$package/deps" wheel/*.whl << 'PY'
import pathlib, shutil, sys, zipfile

deps, wheel = pathlib.Path(sys.argv[1]), zipfile.ZipFile(sys.argv[2])
headers = ("tensorflow/c/", "tensorflow/core/platform/ctstring", "tensorflow/core/platform/macros", "tsl/", "xla/tsl/c",
           "xla/tsl/platform")
libraries = ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2")
for name in wheel.namelist():
    inner = name.removeprefix("tensorflow/include/")
    if inner != name and inner.startswith(headers) and name.endswith(".h"):
        target = deps / "include" / inner
    elif name in libraries or "/libiomp5" in name or name.startswith("tensorflow_cpu.libs/"):
        target = deps / "lib" / pathlib.PurePath(name).name
    else:
        continue
    target.parent.mkdir(parents=True, exist_ok=True)
    with wheel.open(name) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
PY
ln -sf libtensorflow_cc.so.2 "$package/deps/lib/libtensorflow.so"
ln -sf libtensorflow_cc.so.2 "$package/deps/lib/libtensorflow.so.2"
ln -sf libtensorflow_framework.so.2 "$package/deps/lib/libtensorflow_framework.so"

cd "$package"
napi="$(node -p 'Math.min(8, Number(process.versions.napi))')"
headers="$(dirname "$(dirname "$(node -p 'require("fs").realpathSync(process.execPath)')")")"
gyp="$(npm root -g)/npm/node_modules/node-gyp/bin/node-gyp.js"
node "$gyp" rebuild --silent --nodedir="$headers" --jobs=2 --module_name=tfjs_binding \
  --module_path="$package/lib/napi-v$napi" --napi_build_version="$napi" --napi_version="$napi" > build.log 2>&1 ||
  { tail -30 build.log >&2; exit 1; }
echo "$package/lib/napi-v$napi/tfjs_binding.node"
