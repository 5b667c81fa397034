#!/usr/bin/env bash
# Tests the check of the operator's import graph (e2e/floors.py): the operator passes, and each kind of planted mistake is named.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { "$root/e2e/floors.py" "$work/src" 2>&1; }
# Without their tests, so that what is appended is code.
cp -r "$root/operator/src" "$work/bare"
find "$work/bare" -name '*.rs' -exec sed -i '/^#\[cfg(test)\]$/,$d' {} +
fresh() { rm -rf "$work/src"; cp -r "$work/bare" "$work/src"; }
planted() { # FILE LINE EXPECTED: with this line after its imports the file is named, with this text
  local said
  printf '%s\n' "$2" >> "$work/src/$1"
  said=$(check) && { echo "planted in $1 and not found: $2"; exit 1; }
  grep -qF -- "$3" <<< "$said" || { echo "it does not say \"$3\": $said"; exit 1; }
  fresh
}
"$root/e2e/floors.py"
fresh
check

planted planner/rollout.rs 'use crate::apply::ApplyError;' 'planner/rollout.rs: imports apply, which is not below it'
planted planner/rollout.rs 'use crate::{model::plan::Gate, controller::{lease::LEASE}};' 'planner/rollout.rs: imports controller::lease'
planted planner/window.rs 'fn f() { crate::observe::read() }' 'planner/window.rs: imports observe'
planted planner/render/pods.rs 'use super::super::super::probe::Target;' 'planner/render/pods.rs: imports probe'
planted model/cluster.rs 'use crate::planner::version;' 'model/cluster.rs: imports planner::version'
planted plugin/view.rs 'use crate::controller::lease::LEASE;' 'plugin/view.rs: imports controller::lease'
planted planner/version.rs 'use crate::planner::rollout::decide;' 'a circle of files: planner::rollout → planner::version → planner::rollout'
planted planner/scaling.rs 'use kube::{Api, api::ListParams};' 'planner/scaling.rs: has a client (kube::Api)'
planted planner/window.rs 'fn f() -> jiff::Timestamp { jiff::Timestamp::now() }' 'planner/window.rs: reads the clock (Timestamp::now)'
planted planner/moves.rs 'async fn f() {}' 'planner/moves.rs: waits (async)'
planted model/names.rs 'fn f() { std::fs::read("/") }' 'model/names.rs: does I/O (std::fs)'
echo 'pub fn f() {}' > "$work/src/helpers.rs"
said=$(check) && { echo "a file outside of the floors passes"; exit 1; }
grep -qF 'helpers.rs: is on no floor' <<< "$said" || { echo "a file outside of the floors is not named: $said"; exit 1; }

# What only tests and comments name is no import.
fresh
printf '// use crate::apply::ApplyError;\n#[cfg(test)]\nmod tests {\n    use crate::apply::ApplyError;\n}\n' >> "$work/src/planner/rollout.rs"
check
rm -rf "${work:?}/src"; mkdir "$work/src"
check > /dev/null && { echo "an empty folder passes"; exit 1; }
echo "the operator's floors are checked"
