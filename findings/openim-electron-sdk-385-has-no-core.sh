#!/usr/bin/env bash
# npm @openim/electron-client-sdk 3.8.5: the package has a folder for each platform's native core, and every one of them is empty but for a .gitkeep.
#
# Expected: the shared libraries, as in 3.8.3-patch.15.1 of the same package.
# Seen: 3.8.5 installs without a word and has no library for any platform; whoever needs the native core pins 3.8.3-patch.15.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
count() { # VERSION
  npm pack --silent "@openim/electron-client-sdk@$1" > /dev/null
  tar xzf "openim-electron-client-sdk-$1.tgz"
  local folders libraries
  folders=$(find package/assets -mindepth 1 -type d | wc -l)
  libraries=$(find package/assets \( -name '*.so' -o -name '*.dll' -o -name '*.dylib' \) | wc -l)
  echo "$1: $folders folders, libraries: $([ "$libraries" -gt 0 ] && echo yes || echo none)"
  rm -rf package
}
seen=$(count 3.8.3-patch.15.1; count 3.8.5)
expected='3.8.3-patch.15.1: 5 folders, libraries: yes
3.8.5: 6 folders, libraries: none'
printf '@openim/electron-client-sdk:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
