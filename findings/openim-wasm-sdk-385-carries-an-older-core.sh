#!/usr/bin/env bash
# npm @openim/wasm-client-sdk 3.8.5: package, version file and WASM core name three different versions; the core calls itself v3.8.3-patch.10.
#
# Expected: one version, as 3.8.3-patch.13 of the same package has it in the package and in its version file.
# Seen: 3.8.5 in package.json, v3.8.4-alpha.8-e-v1.1.11 in assets/version, and v3.8.3-patch.10 inside openIM.wasm. What a fix of the core is in can be
# told neither by the package's number nor by the file.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
versions() { # VERSION
  npm pack --silent "@openim/wasm-client-sdk@$1" > /dev/null
  tar xzf "openim-wasm-client-sdk-$1.tgz"
  echo "$1: file $(cat package/assets/version), core $(grep -aoE 'v?3\.8\.[0-9]+-patch\.[0-9]+' package/assets/openIM.wasm | sort -u | paste -sd' ')"
  rm -rf package
}
seen=$(versions 3.8.3-patch.13; versions 3.8.5)
expected='3.8.3-patch.13: file v3.8.3-patch.13, core v3.8.3-patch.13
3.8.5: file v3.8.4-alpha.8-e-v1.1.11, core v3.8.3-patch.10'
printf '@openim/wasm-client-sdk:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
