#!/usr/bin/env bash
# The check of the tables in docs/TESTING.md finds what is wrong in them.
set -euo pipefail
. "$(dirname "$0")/../lib.sh"
cd "$root"
page=$(mktemp -p "$root/e2e" claims-XXXXXX.md)
trap 'rm -f "$page"' EXIT
wrong() { # EXPRESSION COMPLAINT: of a page that sed has changed
  local said
  sed "$1" docs/TESTING.md > "$page"
  ! cmp -s docs/TESTING.md "$page" || { echo "'$1' changes nothing"; exit 1; }
  if said=$(node e2e/claims.mjs "e2e/$(basename "$page")" 2>&1); then echo "'$1' is not found: $said"; exit 1; fi
  has -F -- "$2" <<< "$said" || { echo "not '$2' but: $said"; exit 1; }
}
wrong 's/`scaling\.sh`/`scalings.sh`/' 'there is no scalings.sh'
wrong '/`scaling\.sh`/d' 'e2e/tests/scaling.sh is in no table'
wrong '/`operator\/planner\/tests\/golden\.rs`/d' 'operator/planner/tests/golden.rs is in no table'
wrong 's/"creation may be changed"/"creation may be changed by nobody"/' 'webhooks.test.mjs has no test "creation may be changed by nobody"'
wrong 's/| E | `scaling\.sh`/| X | `scaling.sh`/' "'X' is no layer"
wrong 's/soak `sets` |/soak `set` |/' 'soak has no part set'
wrong 's/| `sets\.sh` | soak `sets` |/| `sets.sh` | gate |/' 'sets.sh is not run by gate'
wrong 's/^| claim | layer |/| claims | layer |/' 'there is no table'
