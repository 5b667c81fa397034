#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, apiresp: an answer whose data is a struct with only private fields has no data, although JSON writes it.
#
# Expected: what encoding/json writes for the data: it promotes the public fields of an embedded private struct, and types such as time.Time write themselves.
# Seen: "data" is left out of the answer, errCode is 0. In a list the same values are there. The check looks at the first letter of the field names alone.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/openimsdk/tools/apiresp"
)

type named struct {
	UserID string `json:"userID"`
}

type user struct{ named }

func main() {
	one := user{named{"a"}}
	for _, data := range []any{one.named, one, []user{one}, time.Unix(0, 0).UTC()} {
		plain, _ := json.Marshal(data)
		answer, _ := json.Marshal(apiresp.ApiSuccess(data))
		fmt.Printf("%s as data: %s\n", plain, answer)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='{"userID":"a"} as data: {"errCode":0,"errMsg":"","errDlt":"","data":{"userID":"a"}}
{"userID":"a"} as data: {"errCode":0,"errMsg":"","errDlt":""}
[{"userID":"a"}] as data: {"errCode":0,"errMsg":"","errDlt":"","data":[{"userID":"a"}]}
"1970-01-01T00:00:00Z" as data: {"errCode":0,"errMsg":"","errDlt":""}'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
