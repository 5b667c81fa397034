#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/timeutil: the "timestamp at 0 o'clock of the day" is midnight in the zone UTC+8 alone.
#
# Expected: midnight of the machine's own day, since the date is taken from the machine's own zone.
# Seen: on a machine in UTC it is 16:00 of the day before; eight hours are taken off whatever the zone is.
set -euo pipefail
work=$(mktemp -d); trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT; cd "$work"
cat > main.go <<'END'
package main

import (
	"fmt"
	"time"

	"github.com/openimsdk/tools/utils/timeutil"
)

func main() {
	fmt.Println("0 o'clock:", time.Unix(timeutil.GetCurDayZeroTimestamp(), 0).UTC().Format("15:04"), "UTC")
	fmt.Println("12 o'clock:", time.Unix(timeutil.GetCurDayHalfTimestamp(), 0).UTC().Format("15:04"), "UTC")
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(TZ=UTC go run .)
expected='0 o'\''clock: 16:00 UTC
12 o'\''clock: 04:00 UTC'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
