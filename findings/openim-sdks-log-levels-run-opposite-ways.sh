#!/usr/bin/env bash
# npm @openim/client-sdk 0.0.14 and @openim/wasm-client-sdk 3.8.5: LogLevel has the same names in both and numbers that run in opposite directions.
#
# Expected: LogLevel.Error means the same number in two SDKs of one vendor, so that a setting can be moved from one to the other.
# Seen: Error is 4 in one and 2 in the other, Info 2 and 4: a saved number 4 that kept errors only writes everything up to Info after a move to the other SDK.
# Only Warn is the same.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @openim/client-sdk@0.0.14 @openim/wasm-client-sdk@3.8.5 > /dev/null
seen=$(node -e '
  const plain = require("@openim/client-sdk").LogLevel, wasm = require("@openim/wasm-client-sdk").LogLevel;
  for (const name of ["Debug", "Info", "Warn", "Error"]) console.log(name, plain[name], wasm[name]);
')
expected='Debug 1 5
Info 2 4
Warn 3 3
Error 4 2'
printf 'level, client-sdk 0.0.14, wasm-client-sdk 3.8.5:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
