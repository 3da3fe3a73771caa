#!/usr/bin/env bash
# Copies the WASI 0.3.0 packages of the locked wasmtime-wasi-http into wit/deps, so that guests are built against the
# interfaces that the host implements.
#
#   wit/vendor.sh          copy them
#   wit/vendor.sh --check [FOLDER]
#                          change nothing; say what differs and exit 1
set -euo pipefail
cd "$(dirname "$0")/.."

source=$(cargo metadata --format-version 1 --locked | python3 -c '
import json, os, sys
packages = [p for p in json.load(sys.stdin)["packages"] if p["name"] == "wasmtime-wasi-http"]
print(os.path.join(os.path.dirname(packages[0]["manifest_path"]), "src/p3/wit/deps"))')

if [ "${1-}" = --check ]; then
    diff -r "$source" "${2-wit/deps}" || {
        echo "wit/deps differs from the WASI packages of the locked wasmtime-wasi-http: run wit/vendor.sh" >&2
        exit 1
    }
else
    rm -rf wit/deps
    cp -r "$source" wit/deps
fi
