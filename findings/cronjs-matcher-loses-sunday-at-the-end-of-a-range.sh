#!/usr/bin/env bash
# npm @datasert/cronjs-matcher 1.4.0: a range of weekdays that ends on Sunday leaves Sunday out.
#
# Expected: 7 is Sunday where it stands alone and in a list, so 5-7 is Friday, Saturday and Sunday, and 1-7 every day, as cron-schedule 6.0.0 and
# cronosjs 1.7.1 have it.
# Seen: 5-7 and FRI-SUN fire on Friday and Saturday, 1-7 on every day but Sunday; nothing is raised. A job for every day does not run on Sundays.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @datasert/cronjs-matcher@1.4.0 cron-schedule@6.0.0 > /dev/null
cat > main.mjs <<'END'
import matcher from "@datasert/cronjs-matcher";
import { parseCronExpression } from "cron-schedule";

const start = new Date("2026-01-05T00:00:00Z"); // a Monday
const days = (dates) => [...new Set(dates.map((date) => new Date(date).toUTCString().slice(0, 3)))].join(" ");
for (const expression of ["0 12 * * 7", "0 12 * * 6,7", "0 12 * * 5-7", "0 12 * * FRI-SUN", "0 12 * * 1-7"]) {
  const one = matcher.getFutureMatches(expression, { startAt: start.toISOString(), matchCount: 20, timezone: "UTC" });
  const other = parseCronExpression(expression).getNextDates(20, start);
  console.log(`${expression}: ${days(one)} (cron-schedule: ${days(other)})`);
}
END
seen=$(TZ=UTC node main.mjs)
expected='0 12 * * 7: Sun (cron-schedule: Sun)
0 12 * * 6,7: Sat Sun (cron-schedule: Sat Sun)
0 12 * * 5-7: Fri Sat (cron-schedule: Fri Sat Sun)
0 12 * * FRI-SUN: Fri Sat (cron-schedule: Fri Sat Sun)
0 12 * * 1-7: Mon Tue Wed Thu Fri Sat (cron-schedule: Mon Tue Wed Thu Fri Sat Sun)'
printf '@datasert/cronjs-matcher 1.4.0:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
