#!/usr/bin/env bash
# github.com/alicebob/miniredis v2.40.0: a set that is stored with no members is a key that exists.
#
# Expected: the documentation of Redis on keys: an empty set, list or hash does not exist, and is removed when its last member goes. SREM does so here too.
# Seen: SINTERSTORE, SDIFFSTORE, SUNIONSTORE and their siblings of sorted sets answer 0, and then EXISTS answers 1. Whether anybody in a group is
# online, asked with EXISTS after SINTERSTORE, is always yes in a test; in Redis 7.0 it is no.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/proto"
)

func main() {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		panic(err)
	}
	defer server.Close()
	client, err := proto.Dial(server.Addr())
	if err != nil {
		panic(err)
	}
	do := func(command ...string) string {
		answer, err := client.Do(command...)
		if err != nil {
			panic(err)
		}
		return answer[1 : len(answer)-2]
	}
	do("SADD", "members", "a")
	do("SADD", "online", "b")
	for _, command := range [][]string{
		{"SREM", "online", "b"},
		{"SINTERSTORE", "both", "members", "online"},
		{"SDIFFSTORE", "rest", "members", "members"},
		{"SUNIONSTORE", "all", "nobody", "none"},
		{"ZUNIONSTORE", "sum", "1", "none"},
	} {
		fmt.Println(command, "answers", do(command...)+", then EXISTS", command[1], "answers", do("EXISTS", command[1]))
	}
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/alicebob/miniredis/v2@v2.40.0 2> /dev/null
go mod tidy 2> /dev/null
seen=$(go run .)
expected='[SREM online b] answers 1, then EXISTS online answers 0
[SINTERSTORE both members online] answers 0, then EXISTS both answers 1
[SDIFFSTORE rest members members] answers 0, then EXISTS rest answers 1
[SUNIONSTORE all nobody none] answers 0, then EXISTS all answers 1
[ZUNIONSTORE sum 1 none] answers 0, then EXISTS sum answers 1'
printf 'github.com/alicebob/miniredis v2.40.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
