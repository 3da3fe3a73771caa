#!/usr/bin/env bash
# Copies the WIT of Spin's interfaces into host/spin/wit/deps. The source is the releases of spin-sdk in the registry.
# Version 7 has the newest interfaces, and version 5.2 has the interfaces of earlier SDKs. The license of spin-sdk is
# Apache-2.0 with the LLVM exception.
#
#   host/spin/wit/vendor.sh          copy them
#   host/spin/wit/vendor.sh --check  change nothing; say what differs and exit 1
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src" "$work/deps"
touch "$work/src/lib.rs"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "wit-of-spin"
version = "0.0.0"
edition = "2024"

[dependencies]
old = { package = "spin-sdk", version = "=5.2.0" }
new = { package = "spin-sdk", version = "=7.0.0" }
TOML
sdk() {
    cargo metadata --quiet --format-version 1 --manifest-path "$work/Cargo.toml" | python3 -c '
import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(next(os.path.dirname(p["manifest_path"]) for p in packages if (p["name"], p["version"]) == ("spin-sdk", sys.argv[1])))' "$1"
}
old=$(sdk 5.2.0)/wit/deps
new=$(sdk 7.0.0)/wit/deps

# Usage: package NAME FOLDER-OF-SDK FILE...: a package of which only some interfaces are copied. The file that names it
# would also need packages of WASI.
package() {
    local folder="$work/deps/${1//[:\/]/-}"
    mkdir "$folder"
    echo "package $1;" > "$folder/package.wit"
    for file in "${@:3}"; do cp "$2/$file.wit" "$folder/"; done
}
package fermyon:spin "$old/spin@unversioned" config key-value
package fermyon:spin@2.0.0 "$old/spin@2.0.0" variables key-value
cp -r "$new/spin-variables@3.0.0" "$new/spin-key-value@3.0.0" "$new/wasi-runtime-config-2024-09-27" "$work/deps/"
# Without `watch`, which Spin does not implement.
package wasi:keyvalue@0.2.0-draft2 "$new/wasi-keyvalue-2024-10-17" store batch atomic

if [ "${1-}" = --check ]; then
    diff -r "$work/deps" deps || {
        echo "host/spin/wit/deps differs from spin-sdk's: run host/spin/wit/vendor.sh" >&2
        exit 1
    }
else
    rm -rf deps
    cp -r "$work/deps" deps
fi
