#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/datautil: SliceIntersectFuncs keeps repeats, although it carries a map to drop them.
#
# Expected: each common element once, as SliceSubFuncs beside it does for differences and as the comment in the function says.
# Seen: the test on the map compares with the empty struct, which a missing entry equals too, so it never drops anything.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/openimsdk/tools/utils/datautil"
)

func main() {
	id := func(i int) int { return i }
	fmt.Println("intersection of [1 1 2] and [1]:", datautil.SliceIntersectFuncs([]int{1, 1, 2}, []int{1}, id, id))
	fmt.Println("difference of [3 3 2] and [1]:", datautil.SliceSubFuncs([]int{3, 3, 2}, []int{1}, id, id))
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='intersection of [1 1 2] and [1]: [1 1]
difference of [3 3 2] and [1]: [3 2]'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
