#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/datautil: CopyStructFields takes a list of fields and copies all of them.
#
# Expected: with "Name" as the only field named, the others stay as they were.
# Seen: the list is not looked at; a field that is not named, and one that does not exist, make no difference.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/openimsdk/tools/utils/datautil"
)

type user struct{ Name, Role string }

func main() {
	to := user{Name: "old", Role: "member"}
	err := datautil.CopyStructFields(&to, user{Name: "new", Role: "owner"}, "Name")
	fmt.Println("only Name:", to, err)
	to = user{Name: "old", Role: "member"}
	err = datautil.CopyStructFields(&to, user{Name: "new", Role: "owner"}, "Missing")
	fmt.Println("only Missing:", to, err)
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='only Name: {new owner} <nil>
only Missing: {new owner} <nil>'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
