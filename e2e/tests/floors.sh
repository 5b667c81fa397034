#!/usr/bin/env bash
# Tests the check of the operator's import graph (e2e/floors.py): the operator passes, and each kind of planted mistake is named.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { "$root/e2e/floors.py" "$work/operator" ${lock:+"$lock"} 2>&1; }
# Without their tests, so that what is appended is code.
mkdir -p "$work/bare/planner"
cp -r "$root/operator/src" "$work/bare/src"
cp -r "$root/operator/planner/src" "$work/bare/planner/src"
find "$work/bare" -name '*.rs' -exec sed -i '/^#\[cfg(test)\]$/,$d' {} +
fresh() { rm -rf "$work/operator"; cp -r "$work/bare" "$work/operator"; }
planted() { # FILE LINE EXPECTED: with this line after its imports the file is named, with this text
  local said
  printf '%s\n' "$2" >> "$work/operator/$1"
  said=$(check) && { echo "planted in $1 and not found: $2"; exit 1; }
  grep -qF -- "$3" <<< "$said" || { echo "it does not say \"$3\": $said"; exit 1; }
  fresh
}
"$root/e2e/floors.py"
fresh
check

planted src/observe/load.rs 'use crate::controller::lease::LEASE;' 'src/observe/load.rs: imports controller::lease, which is not below it'
planted src/observe/load.rs 'use crate::{apply::ApplyError, controller::{lease::LEASE}};' 'src/observe/load.rs: imports controller::lease'
planted src/observe/load.rs 'fn f() { super::super::controller::run() }' 'src/observe/load.rs: imports controller'
planted planner/src/window.rs 'fn f() { operator::observe::read() }' 'planner/src/window.rs: imports observe'
planted planner/src/model/cluster.rs 'use crate::version;' 'planner/src/model/cluster.rs: imports planner::version'
planted planner/src/model/cluster.rs 'use super::super::version::of;' 'planner/src/model/cluster.rs: imports planner::version'
planted src/plugin/view.rs 'use crate::controller::lease::LEASE;' 'src/plugin/view.rs: imports controller::lease'
planted planner/src/version.rs 'use crate::rollout::decide;' 'a circle of files: planner::rollout → planner::version → planner::rollout'
planted planner/src/scaling.rs 'use kube::{Api, api::ListParams};' 'planner/src/scaling.rs: has a client (kube::Api)'
planted planner/src/window.rs 'fn f() -> jiff::Timestamp { jiff::Timestamp::now() }' 'planner/src/window.rs: reads the clock (Timestamp::now)'
planted planner/src/moves.rs 'async fn f() {}' 'planner/src/moves.rs: waits (async)'
planted planner/src/model/names.rs 'fn f() { std::fs::read("/") }' 'planner/src/model/names.rs: does I/O (std::fs)'
echo 'pub fn f() {}' > "$work/operator/src/helpers.rs"
said=$(check) && { echo "a file outside of the floors passes"; exit 1; }
grep -qF 'helpers.rs: is on no floor' <<< "$said" || { echo "a file outside of the floors is not named: $said"; exit 1; }

# What only tests and comments name is no import.
fresh
printf '// use crate::controller::run;\n#[cfg(test)]\nmod tests {\n    use crate::controller::run;\n}\n' >> "$work/operator/src/observe/load.rs"
check

# A package with a client, however deep.
lock=$work/Cargo.lock
sed '/^name = "openim-crds"$/,/^]$/s/^dependencies = \[$/&\n "kube",/' "$root/Cargo.lock" > "$lock"
said=$(check) && { echo "a client beneath the planner passes"; exit 1; }
grep -qF 'openim-planner → openim-crds → kube → kube-client' <<< "$said" || { echo "the way to the client is not named: $said"; exit 1; }
lock=
rm -rf "${work:?}/operator"; mkdir "$work/operator"
check > /dev/null && { echo "an empty folder passes"; exit 1; }
echo "the operator's floors are checked"
