#!/usr/bin/env bash
# github.com/openimsdk/tools v0.0.50-alpha.113, utils/timeutil: IsSameWeekday(zone, now) can be false for this very moment.
#
# Expected: now and now are on the same weekday in any zone.
# Seen: one side is read in the zone that was asked for, the other in the machine's. On a machine in UTC at least one of the zones UTC+14 and UTC-12 has
# another weekday at any time, and there the answer is false. IsSameDayOfMonth does the same.
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
	weekdays, days := 0, 0
	for _, zone := range []string{"Pacific/Kiritimati", "Etc/GMT+12"} {
		now := time.Now().Unix()
		if same, err := timeutil.IsSameWeekday(zone, now); err != nil {
			fmt.Println(zone, err)
		} else if !same {
			weekdays++
		}
		if same, err := timeutil.IsSameDayOfMonth(zone, now); err != nil {
			fmt.Println(zone, err)
		} else if !same {
			days++
		}
	}
	fmt.Println("now is on another weekday than now:", weekdays > 0)
	fmt.Println("now is on another day of the month than now:", days > 0)
}
END
printf 'module finding\ngo 1.26\n' > go.mod
go get github.com/openimsdk/tools@v0.0.50-alpha.113 2> /dev/null
go mod tidy 2> /dev/null
seen=$(TZ=UTC go run .)
expected='now is on another weekday than now: true
now is on another day of the month than now: true'
printf 'github.com/openimsdk/tools v0.0.50-alpha.113:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
