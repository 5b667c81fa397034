#!/usr/bin/env bash
# github.com/openimsdk/protocol v0.0.73-alpha.17, wrapperspb: an optional bool reads the JSON numbers 1 and 0, an optional integer refuses JSON numbers such as 1e3.
#
# Expected: what encoding/json does for a plain bool and int64: numbers are no bools, and 1e3 is refused there as well, but so is 1 for a bool.
# Seen: {"isPinned":1} pins a conversation, and is refused for a plain bool of the same request. A server that wants to read what this one reads has to know.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"encoding/json"
	"fmt"

	"github.com/openimsdk/protocol/wrapperspb"
)

func main() {
	for _, text := range []string{`1`, `0`, `true`, `"true"`, `2`} {
		var request struct {
			Wrapped *wrapperspb.BoolValue
		}
		var plain struct{ Plain bool }
		wrapped := json.Unmarshal([]byte(`{"Wrapped":`+text+`}`), &request) == nil
		same := json.Unmarshal([]byte(`{"Plain":`+text+`}`), &plain) == nil
		fmt.Println(text, "wrapped:", wrapped, request.Wrapped.GetValue(), "plain:", same, plain.Plain)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/protocol@v0.0.73-alpha.17 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='1 wrapped: true true plain: false false
0 wrapped: true false plain: false false
true wrapped: true true plain: true true
"true" wrapped: false false plain: false false
2 wrapped: false false plain: false false'
printf 'github.com/openimsdk/protocol v0.0.73-alpha.17:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
