#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/datautil: DeleteElems with one element overwrites the slice it was given, with two it makes a new one.
#
# Expected: the same for any number of elements.
# Seen: after deleting one element, the original slice of three has its last element twice; after deleting two it is untouched. And only the first of
# equal elements goes: deleting "a" from [a b a] leaves [b a].
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/openimsdk/tools/utils/datautil"
)

func main() {
	original := []string{"a", "b", "c"}
	left := datautil.DeleteElems(original, "a")
	fmt.Println("one deleted:", left, "original:", original)
	original = []string{"a", "b", "c"}
	left = datautil.DeleteElems(original, "a", "b")
	fmt.Println("two deleted:", left, "original:", original)
	fmt.Println("a deleted from [a b a]:", datautil.DeleteElems([]string{"a", "b", "a"}, "a"))
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='one deleted: [b c] original: [b c c]
two deleted: [c] original: [a b c]
a deleted from [a b a]: [b a]'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
