#!/usr/bin/env bash
# npm local-crontab 0.1.8: a crontab in local time is turned into UTC without its day when the day in UTC is another.
#
# Expected: the same moment. Monday 01:00 in Shanghai is Sunday 17:00 in UTC, so "0 17 * * 0".
# Seen: "0 17 * * 1", which is Tuesday 01:00 in Shanghai. The day of the month stays as it is too. A CronJob of a
# cluster in UTC that is written with it runs 24 hours off for every local hour that has crossed midnight, and rightly for the others.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts local-crontab@0.1.8 > /dev/null
cat > main.js <<'END'
const { localCrontabToUtcCrontabs } = require("local-crontab");

console.log("Monday 10:00 in Shanghai:", localCrontabToUtcCrontabs("0 10 * * 1", "Asia/Shanghai").join(", "));
console.log("Monday 01:00 in Shanghai:", localCrontabToUtcCrontabs("0 1 * * 1", "Asia/Shanghai").join(", "));
console.log("the 2nd, 01:00 in Shanghai:", localCrontabToUtcCrontabs("0 1 2 * *", "Asia/Shanghai").join(", "));
END
seen=$(TZ=UTC node main.js)
expected='Monday 10:00 in Shanghai: 0 2 * * 1
Monday 01:00 in Shanghai: 0 17 * * 1
the 2nd, 01:00 in Shanghai: 0 17 2 * *'
printf 'local-crontab 0.1.8, in UTC:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
