#!/usr/bin/env bash
# github.com/openimsdk/protocol v0.0.73-alpha.17, wrapperspb: optional bytes refuse base64 whose slash is escaped, as PHP's json_encode writes it by default.
#
# Expected: "\/" is the same JSON text as "/", so both are read.
# Seen: the wrapper decodes what stands between the quotes without reading the JSON string first; a plain []byte beside it reads both.
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
	for _, text := range []string{`"/+8="`, `"\/+8="`} {
		var wrapped wrapperspb.BytesValue
		var plain []byte
		fmt.Println(text, "wrapped:", json.Unmarshal([]byte(text), &wrapped) == nil, "plain:", json.Unmarshal([]byte(text), &plain) == nil)
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/protocol@v0.0.73-alpha.17 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='"/+8=" wrapped: true plain: true
"\/+8=" wrapped: false plain: true'
printf 'github.com/openimsdk/protocol v0.0.73-alpha.17:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
