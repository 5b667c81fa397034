#!/usr/bin/env bash
# npm @openim/client-sdk 0.0.14: GroupMemberRole, GroupStatus, GroupMemberFilter and MessageReceiveOptType have no "Normal": it is spelled "Nomal".
#
# Expected: the names of @openim/wasm-client-sdk 3.8.5.
# Seen: code that was moved compares with undefined, without a word in JavaScript, so that no member is an ordinary one.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @openim/client-sdk@0.0.14 @openim/wasm-client-sdk@3.8.5 > /dev/null
seen=$(node -e '
  const plain = require("@openim/client-sdk"), wasm = require("@openim/wasm-client-sdk");
  for (const name of ["GroupMemberRole", "GroupStatus", "GroupMemberFilter", "MessageReceiveOptType"]) {
    console.log(name, plain[name].Normal, plain[name].Nomal, wasm[name].Normal);
  }
')
expected='GroupMemberRole undefined 20 20
GroupStatus undefined 0 0
GroupMemberFilter undefined 3 3
MessageReceiveOptType undefined 0 0'
printf 'enum, Normal and Nomal in client-sdk 0.0.14, Normal in wasm-client-sdk 3.8.5:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
