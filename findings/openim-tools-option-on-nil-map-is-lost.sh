#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/datautil: SetSwitchFromOptions on a nil map does nothing, and says nothing.
#
# Expected: the option is set, or the call does not compile or fails, since the function has a branch of its own for a nil map.
# Seen: that branch makes a map that only the function has. A message that carries no options keeps the switch on: what was switched off stays on.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/openimsdk/tools/utils/datautil"
)

func main() {
	for _, options := range []map[string]bool{nil, {}} {
		name := "empty map"
		if options == nil {
			name = "nil map"
		}
		datautil.SetSwitchFromOptions(options, "offlinePush", false)
		fmt.Println(name, "after it was switched off:", datautil.GetSwitchFromOptions(options, "offlinePush"))
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='nil map after it was switched off: true
empty map after it was switched off: false'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
