#!/usr/bin/env bash
# k8s.io/apimachinery v0.37.2 (and v0.35.4): a Quantity of 1000E (10^21) is accepted and written back as "1".
#
# Expected: the documentation of Quantity says that nothing above 2^63-1 is represented, larger numbers are capped; and that the canonical form loses no
# precision. So 1000E would become the largest number, as 1024Ei does, or stay 1000E.
# Seen: 1500E stays as it is, 1024Ei is capped, but 1000E and 10^21 become "1": the canonical form looks for a suffix above E, finds none, and leaves it out.
# Whoever writes such a limit and reads it again has one of 1.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

func main() {
	for _, text := range []string{"1500E", "1024Ei", "1000E", "1000000000000000000000"} {
		var read resource.Quantity
		if err := json.Unmarshal([]byte(`"`+text+`"`), &read); err != nil {
			fmt.Println(text, err)
			continue
		}
		written, _ := json.Marshal(read)
		fmt.Println(text, string(written))
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get k8s.io/apimachinery@v0.37.2 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='1500E "1500E"
1024Ei "9223372036854775807"
1000E "1"
1000000000000000000000 "1"'
printf 'k8s.io/apimachinery v0.37.2, read and written back:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
