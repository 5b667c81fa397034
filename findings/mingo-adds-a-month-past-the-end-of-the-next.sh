#!/usr/bin/env bash
# npm mingo 7.2.6: $dateAdd and $dateSubtract with months leave the month they should end in when it is shorter.
#
# Expected: the documentation of MongoDB for $dateAdd: where the day does not exist in the resulting month, the last day of that month is taken.
# Seen: 31 January and one month is 3 March, 31 March less one month is 3 March as well, 29 February and one year is 1 March. What expires "in a month" expires
# days later in the stand-in than in MongoDB, and on some days a report for last month shows this month.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund --ignore-scripts mingo@7.2.6 > /dev/null
cat > main.js <<'END'
const { aggregate } = require("mingo");

for (const [operator, date, unit] of [
  ["$dateAdd", "2026-01-30", "day"],
  ["$dateAdd", "2026-01-31", "month"],
  ["$dateSubtract", "2026-03-31", "month"],
  ["$dateAdd", "2028-02-29", "year"],
]) {
  const [{ then }] = aggregate([{}], [{ $project: { then: { [operator]: { startDate: new Date(date), unit, amount: 1 } } } }]);
  console.log(operator, date, "1", unit + ":", then.toISOString().slice(0, 10));
}
END
seen=$(TZ=UTC node main.js)
expected='$dateAdd 2026-01-30 1 day: 2026-01-31
$dateAdd 2026-01-31 1 month: 2026-03-03
$dateSubtract 2026-03-31 1 month: 2026-03-03
$dateAdd 2028-02-29 1 year: 2029-03-01'
printf 'mingo 7.2.6:\n%s\n' "$seen"
[ "$seen" = "$expected" ] || { echo "it behaves otherwise now; on record was:"; echo "$expected"; exit 1; }
